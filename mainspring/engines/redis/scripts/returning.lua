-- Ended jobs made to run again, and with them what was cancelled because of them: stands before the
-- scripts that do so.

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
    -- One that came from another store may not know yet.
    if not has(parent.bits, PARENT) then
      parent.bits = bor(parent.bits, PARENT)
      touch(parent)
    end
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

-- At most so many of those that were cancelled because of a job, in order; whether there are more.
-- A replay that begins (`anew`) tries those too that could not come back before.
local function fallen_of(parent, anew, limit)
  local fell, stay = 'fell:' .. parent.n, 'stay:' .. parent.n
  local found = call('SRANDMEMBER', K .. fell, limit)
  local more = call('SCARD', K .. fell) > #found
  if anew then
    for _, number in ipairs(call('SMEMBERS', K .. stay)) do
      if #found < limit then
        found[#found + 1] = number
      else
        sset(stay, number, false)
        sset(fell, number, true)
        more = true
      end
    end
  end
  table.sort(found)
  return found, more
end

-- Bring back what was cancelled because of these, and because of those, at most so many; the rest is
-- left to later steps by a mark in `returns`. `anew` says of which a replay begins; it is told of all
-- that come back. How many were looked at.
local function bring_back(wave, anew, limit)
  local at, done = 1, 0
  while at <= #wave do
    local parent = wave[at]
    at = at + 1
    if has(parent.bits, PARENT) then
      local children, more = fallen_of(parent, anew[parent.n], limit - done)
      sset('returns', parent.n, more)
      done = done + #children
      load(children)
      for _, number in ipairs(children) do
        local child = jobs[number]
        if child and child.state == CANCELLED and not again(child) then
          anew[number] = true
          wave[#wave + 1] = child
          news.work = true
        else
          sset('fell:' .. parent.n, number, false)
          sset('stay:' .. parent.n, number, child and true or false)
        end
      end
    end
  end
  return done
end

-- Go on with those that earlier steps left, unless their job ended badly once more: a step. How many
-- were dealt with.
local function go_on_returning(limit)
  local parents = call('SRANDMEMBER', K .. 'returns', 100)
  if #parents == 0 then return 0 end
  load(parents)
  local wave = {}
  for _, number in ipairs(parents) do
    local job = jobs[number]
    if job and job.state ~= FAILED and job.state ~= CANCELLED then
      wave[#wave + 1] = job
    else
      sset('returns', number, false)
    end
  end
  local done = bring_back(wave, {}, limit)
  commit()
  return max(done, #parents)
end
