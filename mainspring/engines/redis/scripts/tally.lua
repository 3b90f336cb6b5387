-- Add to the statistics. ARGV: the clocks, then (minute, field, how much) for each sum.

for i = 3, #ARGV, 3 do
  must_be('hash', K .. 'minute:' .. ARGV[i])
  if ARGV[i] ~= '0' then zset('minutes', ARGV[i], tonumber(ARGV[i])) end
end
commit()
for i = 3, #ARGV, 3 do call('HINCRBY', K .. 'minute:' .. ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
return answer(0)
