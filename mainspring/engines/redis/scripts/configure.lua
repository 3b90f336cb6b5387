-- Change a queue's settings. ARGV: the clocks, the name, then paused, aging, keep_completed,
-- keep_cancelled and keep_failed, each empty to leave it. Answers the settings.

local name = ARGV[3]
local queue = queue_row(name)
for i, setting in ipairs({'paused', 'aging', 'keep_completed', 'keep_cancelled', 'keep_failed'}) do
  queue[setting] = tonumber(ARGV[3 + i]) or queue[setting]
end
write_queue(name, queue)
matters = true
commit()
return answer(call('HGET', K .. 'queue', name))
