-- Statistics from a minute on. ARGV: the clocks, the minute. Answers (minute, its sums) pairs.

local found = {}
for _, minute in ipairs(call('ZRANGEBYSCORE', K .. 'minutes', ARGV[3], '+inf')) do
  found[#found + 1] = minute
  found[#found + 1] = call('HGETALL', K .. 'minute:' .. minute)
end
return found
