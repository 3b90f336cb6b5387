-- Add to entries, to all or none. ARGV: the clocks, then for each its key, how much, and the time to
-- live of a new one (empty: none). Answers 0 and what they are now, or the place of the one that was
-- refused and what is there.

local keys = {}
for i = 3, #ARGV, 3 do keys[#keys + 1] = ARGV[i] end
local cells, sums = {}, {}
for i, row in ipairs(read_many(K .. 'kv', keys)) do cells[i] = cell_of(row) or false end
-- Lua's numbers do not hold 64 bits, the server's do: they are added under a key of their own.
ask_for_room()
local refused
for i in ipairs(keys) do
  call('SET', K .. 'kv:sum', cells[i] and cells[i].value or '0')
  local told = redis.pcall('INCRBY', K .. 'kv:sum', ARGV[3 * i + 1])
  if type(told) == 'table' then
    refused = refused or i
  else
    sums[i] = call('GET', K .. 'kv:sum')
  end
end
call('DEL', K .. 'kv:sum')
if refused then return {refused, cells[refused] and cells[refused].value or '0'} end
local last = draw_versions(#keys)
for i, key in ipairs(keys) do
  local ends = cells[i] and cells[i].ends or ends_after(ARGV[3 * i + 2])
  put_cell(key, last + i, ends, sums[i])
end
commit()
table.insert(sums, 1, 0)
return answer(sums)
