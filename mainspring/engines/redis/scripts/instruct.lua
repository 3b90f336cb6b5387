-- Want something of workers. ARGV: the clocks, fields and values as a msgpack map, the workers.
-- Answers those that are known.

local change, known = cmsgpack.unpack(ARGV[3]), {}
frugal = true
for _, worker in ipairs(arguments_from(4)) do
  local row = call('HGET', K .. 'worker', worker)
  if row then
    local started = cmsgpack.unpack(sub(row, 17)).started
    local told, wanted = call('HGET', K .. 'wanted', worker), {}
    if told and parse('<d', told) == started then wanted = cmsgpack.unpack(sub(told, 9)) end
    for field, value in pairs(change) do wanted[field] = value end
    if next(wanted) then hset('wanted', worker, pack('<d', started) .. cmsgpack.pack(wanted)) end
    known[#known + 1] = worker
  end
end
commit()
return answer(known)
