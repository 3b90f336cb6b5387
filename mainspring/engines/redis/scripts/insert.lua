-- Store jobs, all or none. ARGV: the clocks, how many policies, a list of (queue, by hand) as
-- msgpack, the policies (id, body), then the jobs as they will stand in `body` behind the time.

local amount = #ARGV - first_job + 1

local function content(body)
  return byte(body, 10) == 0 and sub(body, 9) or sub(body, 9, -9)
end

-- The refusal, if more would wait in one of the queues than may.
local function full_queue()
  for _, each in ipairs(wanted) do
    local name = each[1]
    local most, waiting, new = queue_row(name).max_depth, 0, 0
    if most > 0 then
      for _, state in ipairs({SCHEDULED, BLOCKED, PENDING, RETRYING}) do
        local field = state .. ':' .. name
        waiting = waiting + (tonumber(call('HGET', K .. 'count', field)) or 0)
        new = new + (counts[field] or 0)
      end
      if new > 0 and waiting + new > most then return {'full', name, decimal(most)} end
    end
  end
end

-- --- the common case: new jobs that wait for nothing but a worker -------------------------------

local function store_plain(ids)
  stage_policies()
  for _, each in ipairs(wanted) do stage_queue(each[1], each[2]) end
  local before = tonumber(call('GET', K .. 'number')) or 0
  local stamp = pack('<d', wall)
  local bodies, index, places, tails = {}, {}, {}, {}
  local same_score = decimal(wall)
  local queue, place, n, front
  for i = 1, amount do
    local blob = ARGV[first_job + i - 1]
    local number = format('%014d', before + i)
    local size = byte(blob, 29) + 256 * byte(blob, 30)
    local name = sub(blob, 33, 32 + size)
    if name ~= queue then
      queue, place = name, places[name]
      if not place then
        place = {}
        places[name] = place
      end
    end
    n = #place
    place[n + 2] = number
    local priority = byte(blob, 2)
    if priority == 0 then
      bodies[2 * i] = stamp .. blob
      place[n + 1] = same_score
    else
      local lift = (priority > 127 and priority - 256 or priority) * queue_row(name).aging
      bodies[2 * i] = stamp .. blob .. pack('<d', lift)
      place[n + 1] = decimal(wall - lift)
    end
    bodies[2 * i - 1] = number
    index[2 * i - 1] = ids[i]
    index[2 * i] = number
  end
  write_later('HSET', 'body', bodies)
  write_later('HSET', 'id', index)
  for name, members in pairs(places) do
    write_later('ZADD', 'ready:' .. name, members)
    count(name, PENDING, #members / 2)
  end
  local refusal = full_queue()
  if refusal then return refusal end
  stage_span(before + 1, amount)
  write_later('INCRBY', 'number', {amount})
  news.work = true
  commit()
  return {'first', before + 1, decimal(wall)}
end

-- --- jobs that may collide or wait --------------------------------------------------------------

local function compared(ids, known)
  local there = {}
  for i = 1, amount do if known[i] then there[#there + 1] = known[i] end end
  local bodies, at = read_many(K .. 'body', there), 0
  local fresh, by_id, answers = {}, {}, {}
  for i = 1, amount do
    local blob, id = ARGV[first_job + i - 1], ids[i]
    if known[i] then
      at = at + 1
      if not bodies[at] or content(bodies[at]) ~= blob then return {'conflict', id} end
      answers[i] = {n = known[i], again = true}
    elseif by_id[id] then
      if by_id[id].blob ~= blob then return {'conflict', id} end
      answers[i] = {same = by_id[id], again = true}
    else
      local job = {blob = blob}
      read_head(job, NOBODY .. blob)
      job.body = NOBODY .. blob
      by_id[id], fresh[#fresh + 1], answers[i] = job, job, {same = job}
    end
  end
  return nil, fresh, by_id, answers
end

-- Give every edge its parent: a job of this call, or one that is stored.
local function find_parents(fresh, by_id)
  local flow, outside, seen = false, {}, {}
  for _, job in ipairs(fresh) do
    read_sections(job)
    for _, edge in ipairs(job.edges) do
      if by_id[edge[1]] then
        flow = true
      elseif not seen[edge[1]] then
        seen[edge[1]] = true
        outside[#outside + 1] = edge[1]
      end
    end
  end
  local numbers, stored = read_many(K .. 'id', outside), {}
  local found = {}
  for i, id in ipairs(outside) do
    if numbers[i] then
      stored[id] = numbers[i]
      found[#found + 1] = numbers[i]
    end
  end
  load(found)
  for _, job in ipairs(fresh) do
    for _, edge in ipairs(job.edges) do
      edge.parent = by_id[edge[1]] or (stored[edge[1]] and jobs[stored[edge[1]]])
      if not edge.parent then return {'unknown', job.id, edge[1]} end
    end
  end
  return nil, flow
end

local last
local function create(job)
  last = last + 1
  local rare = extra(job)
  job.n = format('%014.0f', last)
  job.created = wall
  job.lift = lift_of(job)
  job.body = pack('<d', wall) .. job.blob .. (job.priority ~= 0 and pack('<d', job.lift) or '')
  never_moved(job, job.body)
  jobs[job.n] = job
  stage_queue(job.queue, job.task == 'message')
  hset('body', job.n, job.body)
  hset('id', job.id, job.n)
  if has(job.flags, EXPIRES) then
    job.moment = wall + rare[X_EXPIRES]
    hset('mortal', job.n, decimal(job.moment))
  end
  if rare[X_KEY] then sset('key:' .. rare[X_KEY], job.n, true) end
  for _, tag in ipairs(rare[X_TAGS] or {}) do sset('tag:' .. tag, job.n, true) end
  if rare[X_UNIQUE] then hold(rare[X_UNIQUE], job, wall + rare[X_UNIQUE_FOR]) end
  local due = rare[X_RUN_AT] and max(rare[X_RUN_AT], wall) or wall + (rare[X_DELAY] or 0)
  job.at = due
  if has(job.flags, EDGES) then
    job.parents = {}
    enter(job, BLOCKED)
  elseif due > wall then
    job.score = due - job.lift
    enter(job, SCHEDULED)
  else
    enter(job, PENDING)
    dirty[job.n] = nil -- it was never moved
  end
end

-- Create those whose unique keys are free, or can be made free.
local function create_all(fresh, flow, ended)
  for _, job in ipairs(fresh) do
    local rare = extra(job)
    local key, policy = rare[X_UNIQUE], rare[X_DUPLICATE]
    local holder = key and holder_of(key)
    if holder then
      if flow or policy == 'error' then return {'taken', job.id, holder.id} end
      if policy == 'replace' and not final(holder) and holder.state ~= RUNNING then
        finish(holder, CANCELLED, 'replaced')
        ended[#ended + 1] = holder.n
      else
        job.duplicate = holder
      end
    end
    if not job.duplicate then create(job) end
  end
end

local function link(fresh, ended)
  local kids, fallen = {}, {}
  for _, job in ipairs(fresh) do
    local strict, order = {}, {}
    if job.n and job.state == BLOCKED then
      for _, edge in ipairs(job.edges) do
        local number = edge.parent.n
        if strict[number] == nil then order[#order + 1] = edge.parent end
        strict[number] = strict[number] or not edge[2]
      end
    end
    job.score = #order > 0 and #order or job.score
    for _, parent in ipairs(order) do
      local anyway = not strict[parent.n]
      zset('kids:' .. parent.n, job.n, anyway and 2 or 1)
      job.parents[parent.n], job.relinked = true, true
      parent.bits = bor(parent.bits, PARENT)
      touch(parent)
      touch(job)
      kids[parent.n] = kids[parent.n] or {}
      table.insert(kids[parent.n], {job, anyway})
      if final(parent) and not fallen[parent.n] then
        fallen[parent.n] = true
        fallen[#fallen + 1] = parent.n
      end
    end
  end
  -- Of parents that have ended only the new edges are followed: who waits for them already knows.
  local at = 1
  while at <= #fallen do
    local parent = jobs[fallen[at]]
    at = at + 1
    for _, kid in ipairs(kids[parent.n] or {}) do
      if kid[1].state == BLOCKED then follow_edge(parent, kid[1], kid[2], fallen) end
    end
  end
  follow(ended, SLICE)
end

local function store_with_care(ids, known)
  local refusal, fresh, by_id, answers = compared(ids, known)
  if refusal then return refusal end
  local flow
  refusal, flow = find_parents(fresh, by_id)
  if refusal then return refusal end
  local before, ended = tonumber(call('GET', K .. 'number')) or 0, {}
  last = before
  refusal = create_all(fresh, flow, ended) or full_queue()
  if refusal then return refusal end
  link(fresh, ended)
  if last > before then
    stage_policies()
    stage_span(before + 1, last - before)
    write_later('INCRBY', 'number', {last - before})
    news.work = true
  end
  commit()
  local told = {'each', decimal(wall)}
  for i, each in ipairs(answers) do
    local job = each.same
    local duplicate = job and job.duplicate
    told[3 * i] = each.n or (duplicate or job).n
    told[3 * i + 1] = duplicate and duplicate.id or ''
    told[3 * i + 2] = each.again and not duplicate and 1 or 0
  end
  return told
end

-- Whether none of these is there. (Ids made one after the other ascend, so they are all different.)
local function are_new(ids)
  for from = 1, amount, CHUNK do
    local to = min(from + CHUNK - 1, amount)
    for _, number in ipairs(call('HMGET', K .. 'id', unpack(ids, from, to))) do
      if number then return false end
    end
  end
  return true
end

local function insert()
  local ids, plain, last_id = {}, true, ''
  for i = 1, amount do
    local blob = ARGV[first_job + i - 1]
    local id = sub(blob, 13, 28)
    plain = plain and byte(blob, 1) < EXTRA and id > last_id
    ids[i], last_id = id, id
  end
  if plain and are_new(ids) then return store_plain(ids) end
  return store_with_care(ids, read_many(K .. 'id', ids))
end

return answer(insert())
