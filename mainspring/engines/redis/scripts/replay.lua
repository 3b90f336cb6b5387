-- Make ended jobs run again, each together with those cancelled because of it: a step for each.
-- ARGV: the clocks, the states that were selected as a bit mask, numbers. Answers (id, words of a
-- refusal) pairs.

local states = tonumber(ARGV[3])
local numbers, back, told = arguments_from(4), {}, {}

-- Write the job's edges anew, to the parents that are still there. How many are open.
local function renew_edges(job)
  drop_edges(job)
  local rare, ids, strict, order, open = extra(job), {}, {}, {}, 0
  for i, edge in ipairs(job.edges) do ids[i] = edge[1] end
  local parents = read_many(K .. 'id', ids)
  local there = {}
  for i = 1, #ids do if parents[i] then there[#there + 1] = parents[i] end end
  load(there)
  for i, edge in ipairs(job.edges) do
    local number = parents[i]
    if number and jobs[number] then
      if strict[number] == nil then order[#order + 1] = number end
      strict[number] = strict[number] or not edge[2]
    end
  end
  for _, number in ipairs(order) do
    local parent = jobs[number]
    local done = parent.state == COMPLETED or (final(parent) and not strict[number])
    if not done then open = open + 1 end
    zset('kids:' .. number, job.n, done and 0 or (strict[number] and 1 or 2))
    job.parents[number] = true
  end
  return open
end

-- Give one ended job a place among the waiting; or say who holds its key.
local function again(job)
  local rare = extra(job)
  if has(job.flags, UNIQUE) then
    local holder = holder_of(rare[X_UNIQUE])
    if holder and holder ~= job then return holder end
    hold(rare[X_UNIQUE], job, job.created + rare[X_UNIQUE_FOR])
  end
  leave(job)
  hset('result', job.n, false)
  hset('progress', job.n, false)
  sset('releases', job.n, false)
  job.attempt, job.losses = 0, 0
  job.bits = bor(band(job.bits, bor(PARENT, ERRED)), has(job.flags, SINGLE) and CAREFUL or 0)
  if has(job.flags, EXPIRES) then
    job.moment = wall + rare[X_EXPIRES]
    hset('mortal', job.n, decimal(job.moment))
  end
  local open = has(job.flags, EDGES) and renew_edges(job) or 0
  job.at = wall
  if open > 0 then
    job.score = open
    enter(job, BLOCKED)
  else
    job.lift = lift_of(job)
    job.score = wall - job.lift
    enter(job, PENDING)
  end
end

local function put_back(job)
  local holder = again(job)
  if holder then return holder end
  back[job.n] = true
  local wave, at = {job}, 1
  while at <= #wave do
    local children = call('SMEMBERS', K .. 'fell:' .. wave[at].n)
    at = at + 1
    table.sort(children)
    load(children)
    for _, number in ipairs(children) do
      local child = jobs[number]
      if child and not back[number] and child.state == CANCELLED and not again(child) then
        back[number] = true
        wave[#wave + 1] = child
      end
    end
  end
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
matters = true
return answer(told)
