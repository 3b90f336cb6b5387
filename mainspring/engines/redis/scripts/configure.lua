-- Change a queue's settings. ARGV: the clocks, the name, then paused, by_hand, aging, keep_completed,
-- keep_cancelled, keep_failed, max_retries, ack_deadline and max_depth, each empty to leave it, and
-- the delays of retries behind a dot. Answers the settings.

local name = ARGV[3]
local queue = queue_row(name)
local settings = {'paused', 'by_hand', 'aging', 'keep_completed', 'keep_cancelled', 'keep_failed',
  'max_retries', 'ack_deadline', 'max_depth'}
for i, setting in ipairs(settings) do queue[setting] = tonumber(ARGV[3 + i]) or queue[setting] end
if ARGV[13] ~= '' then queue.retry_delays = sub(ARGV[13], 2) end
write_queue(name, queue)
news.work = true
commit()
return answer(call('HGET', K .. 'queue', name))
