-- End jobs that wait as cancelled, ask those that run to stop. ARGV: the clocks, the states that
-- were selected as a bit mask, the reason, numbers. Answers (id, words of a refusal) pairs.

local states, reason = tonumber(ARGV[3]), ARGV[4]
local numbers, told, ended = arguments_from(5), {}, {}
frugal = true

load(numbers)
for _, number in ipairs(numbers) do
  local job = jobs[number]
  if job and has(states, 2 ^ job.state) then
    told[#told + 1] = job.id
    if final(job) then
      told[#told + 1] = 'ended:' .. job.state
    else
      told[#told + 1] = ''
      if job.state ~= RUNNING then
        finish(job, CANCELLED, reason ~= '' and reason or nil)
        ended[#ended + 1] = number
      elseif not has(job.bits, ASKED) then
        job.bits, job.words = bor(job.bits, ASKED), reason
        sset('asked', number, true)
        touch(job)
      end
    end
  end
end
follow(ended, SLICE)
commit()
return answer(told)
