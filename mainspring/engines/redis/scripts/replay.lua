-- Make ended jobs run again, each together with those cancelled because of it: a step for each. All
-- steps together bring back a slice of those, and leave the rest to claims and upkeep.
-- ARGV: the clocks, the states that were selected as a bit mask, numbers. Answers (id, words of a
-- refusal) pairs.

local states = tonumber(ARGV[3])
local numbers, back, told, left = arguments_from(4), {}, {}, SLICE

local function put_back(job)
  local holder = again(job)
  if holder then return holder end
  back[job.n] = true
  left = left - bring_back({job}, back, left)
  commit()
end

load(numbers)
for _, number in ipairs(numbers) do
  local job = jobs[number]
  if job and (back[number] or has(states, 2 ^ job.state)) then
    local words = ''
    if not back[number] then
      if not final(job) then
        words = 'not ended'
      else
        local holder = put_back(job)
        if holder then words = 'taken:' .. holder.id end
      end
    end
    told[#told + 1] = job.id
    told[#told + 1] = words
  end
end
news.work, news.ends = true, true
return answer(told)
