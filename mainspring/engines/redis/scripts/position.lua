-- A job's place among the pending jobs of its queue, from 0; nil unless it is pending. ARGV: the
-- clocks, id.

local number = call('HGET', K .. 'id', ARGV[3])
if not number then return false end
load({number})
local job = jobs[number]
if not job or job.state ~= PENDING then return false end
local lane = lane_of(job)
local other = (has(job.bits, SUSPECT) and 'ready:' or 'alone:') .. job.queue
local rank = call('ZRANK', K .. lane, number)
if not rank then return false end
local score = decimal(job.score)
local before = call('ZCOUNT', K .. other, '-inf', '(' .. score)
for _, each in ipairs(call('ZRANGEBYSCORE', K .. other, score, score)) do
  if each < number then before = before + 1 end
end
return rank + before
