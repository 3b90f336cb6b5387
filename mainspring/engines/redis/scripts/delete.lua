-- Remove jobs: those that wait as if cancelled first. ARGV: the clocks, the states that were
-- selected as a bit mask, numbers. Answers (id, words of a refusal) pairs.

local states = tonumber(ARGV[3])
local numbers, chosen, told, ended = arguments_from(4), {}, {}, {}
frugal = true

load(numbers)
for _, number in ipairs(numbers) do
  local job = jobs[number]
  if job and has(states, 2 ^ job.state) then chosen[#chosen + 1] = job end
end
local ended_before = {}
for _, job in ipairs(chosen) do
  ended_before[job.n] = final(job)
  if not final(job) and job.state ~= RUNNING then
    finish(job, CANCELLED)
    ended[#ended + 1] = job.n
  end
end
follow(ended)
commit()

local awaited = {}
for _, job in ipairs(chosen) do
  if ended_before[job.n] and has(job.bits, PARENT) then
    local kid = call('ZRANGE', K .. 'kids:' .. job.n, 0, 0)[1]
    load({kid})
    awaited[job.n] = kid and jobs[kid]
  end
end
for _, job in ipairs(chosen) do
  told[#told + 1] = job.id
  if job.state == RUNNING then
    told[#told + 1] = 'running'
  elseif awaited[job.n] then
    told[#told + 1] = 'awaited:' .. awaited[job.n].id
  else
    told[#told + 1] = ''
    remove(job)
  end
end
commit()
return answer(told)
