-- Give waiting jobs of a queue, which are not yet due, the score that its aging gives them now.
-- ARGV: the clocks, the name, where to go on. Answers where to go on; '0' at the end.

local name = ARGV[3]
local page = call('ZSCAN', K .. 'due:' .. name, ARGV[4], 'COUNT', SLICE)
local numbers = {}
for i = 1, #page[2], 2 do numbers[#numbers + 1] = page[2][i] end
load(numbers)
for _, number in ipairs(numbers) do
  local job = jobs[number]
  if job and not has(job.bits, KEPT) then
    job.lift = lift_of(job)
    job.score = job.at - job.lift
    zset('later:' .. name, number, job.score)
    touch(job)
  end
end
commit()
return page[1]
