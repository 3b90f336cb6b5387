-- What waits in a queue, and what went through it. ARGV: the clocks, its name. Answers the counts by
-- state, the same of what has left, how many hold some of it, and the sums of claims and their waits.

local name, here, left = ARGV[3], {}, {}
for state = REMOVED, CANCELLED do
  here[state + 1] = tonumber(call('HGET', K .. 'count', state .. ':' .. name)) or 0
  left[state + 1] = tonumber(call('HGET', K .. 'left', state .. ':' .. name)) or 0
end

-- Of jobs only heads are read, of a few at a time, until all that run in this queue are found.
local running, consumers, holding = here[RUNNING + 1], 0, {}
for _, token in ipairs(running > 0 and call('ZRANGE', K .. 'leases', 0, -1) or {}) do
  if running <= 0 then break end
  local held = held_under(token)
  for _, body in ipairs(held[3]) do
    local job = {}
    if body then read_head(job, body) end
    if job.queue == name then
      running = running - 1
      local worker = grant_of(token).worker
      if not holding[worker] then holding[worker], consumers = true, consumers + 1 end
    end
  end
end
return {here, left, consumers, call('HMGET', K .. 'minute:0', 'started:' .. name, 'waited:' .. name)}
