-- Remove jobs: those that wait as if cancelled first. ARGV: the clocks, the states that were
-- selected as a bit mask (0: these are ended jobs whose removal has begun), numbers. Answers (id,
-- words of a refusal) pairs; `later` and a number: another script has to go on with this one.

local states, begun = tonumber(ARGV[3]), ARGV[3] == '0'
local numbers, chosen, told, ended = arguments_from(4), {}, {}, {}
frugal = true

load(numbers)
for _, number in ipairs(numbers) do
  local job = jobs[number]
  if job and (begun or has(states, 2 ^ job.state)) then chosen[#chosen + 1] = job end
end
local ended_before = {}
for _, job in ipairs(chosen) do
  ended_before[job.n] = final(job) and not begun
  if not begun and not final(job) and job.state ~= RUNNING then finish(job, CANCELLED) end
  if final(job) and not ended_before[job.n] then ended[#ended + 1] = job.n end
end
follow(ended, SLICE)
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
  elseif not final(job) then
    told[#told + 1] = 'not ended'
  elseif has(job.bits, PARENT) and call('ZCOUNT', K .. 'kids:' .. job.n, 1, 2) > 0
    or not remove(job) then
    told[#told + 1] = 'later:' .. job.n
  else
    told[#told + 1] = ''
  end
end
commit()
return answer(told)
