-- Take in jobs as they stood elsewhere, all or none. ARGV: the clocks, how many policies, a list of
-- (queue, by hand) as msgpack, the policies (id, body), then for each job: what can be said of it in
-- msgpack, and as bytes: the body, the result, the progress, errors, lines of log, ids of parents.
-- Answers how many were new, or what is wrong.

local asked, ids, fresh, ended = {}, {}, {}, {}

local at = first_job
local function next_bytes()
  at = at + 1
  return ARGV[at - 1]
end

local function some_bytes(n)
  local list = {}
  for i = 1, n do list[i] = next_bytes() end
  return list
end

while at <= #ARGV do
  local each = cmsgpack.unpack(next_bytes())
  each.blob, each.result_bytes, each.progress_bytes = next_bytes(), next_bytes(), next_bytes()
  each.errors, each.lines = some_bytes(each.errors), some_bytes(each.lines)
  each.parents = some_bytes(#each.waits / 2)
  asked[#asked + 1], ids[#ids + 1] = each, sub(each.blob, 13, 28)
end
local known, by_id = read_many(K .. 'id', ids), {}
local before = tonumber(call('GET', K .. 'number')) or 0
local last = before

local function hold_key(job, till)
  local key = extra(job)[X_UNIQUE]
  local holder = holder_of(key)
  if holder then return {'taken', job.id, holder.id} end
  hold(key, job, till)
end

local function write_list(key, list)
  if #list > 0 then write_later('RPUSH', key, list) end
end

-- All that is known of it but its place.
local function describe(job, each)
  hset('body', job.n, job.body)
  hset('id', job.id, job.n)
  if each.expires then
    job.moment = each.expires
    hset('mortal', job.n, decimal(each.expires))
  end
  local rare = extra(job)
  if rare[X_KEY] then sset('key:' .. rare[X_KEY], job.n, true) end
  for _, tag in ipairs(rare[X_TAGS] or {}) do sset('tag:' .. tag, job.n, true) end
  if each.result then hset('result', job.n, each.result_bytes) end
  if each.progress then hset('progress', job.n, each.progress_bytes) end
  write_list('errors:' .. job.n, each.errors)
  write_list('log:' .. job.n, each.lines)
end

local function take_in(each)
  local job, stamp = {}, pack('<d', each.created)
  last = last + 1
  read_head(job, stamp .. each.blob)
  job.n = format('%014.0f', last)
  job.body = stamp .. each.blob .. (job.priority ~= 0 and pack('<d', each.lift) or '')
  jobs[job.n], by_id[job.id] = job, job
  job.did, job.last, job.token = 0, NOBODY, NOBODY
  job.losses, job.attempt, job.claims = each.losses, each.attempt, each.claims
  job.score, job.lift, job.at = each.score, each.lift, each.at
  job.bits = bor(each.bits, #each.errors > 0 and ERRED or 0)
  job.parents = {}
  job.state = each.state
  if each.till and (each.state < COMPLETED or each.till > wall) then
    local refusal = hold_key(job, each.till)
    if refusal then return refusal end
  end
  describe(job, each)
  job.words_then = each.reason or nil
  local list = each.state < COMPLETED and fresh or ended
  list[#list + 1] = job
end

-- Write what it waits for. A blocked job counts its open edges.
local function tie(job, each, parents)
  local open = 0
  parents_of(job)
  for i, id in ipairs(each.parents) do
    local parent, stands, anyway = parents[id], each.waits[2 * i - 1], each.waits[2 * i]
    if stands == 'broken' then
      sset('fell:' .. parent.n, job.n, true)
    else
      zset('kids:' .. parent.n, job.n, stands == 'met' and 0 or (anyway and 2 or 1))
      if stands == 'open' then open = open + 1 end
    end
    job.parents[parent.n], job.relinked = true, true
    parent.bits = bor(parent.bits, PARENT)
    touch(parent)
  end
  if job.state == BLOCKED then job.score = open end
  touch(job)
end

-- The jobs that are waited for, by id; or the first pair of one that is nowhere.
local function find_parents()
  local found, missing, numbers = {}, {}, {}
  for _, each in ipairs(asked) do
    for _, id in ipairs(each.parents) do
      found[id] = by_id[id]
      if not by_id[id] then missing[#missing + 1] = id end
    end
  end
  local stored = read_many(K .. 'id', missing)
  for i = 1, #missing do if stored[i] then numbers[#numbers + 1] = stored[i] end end
  load(numbers)
  for i, id in ipairs(missing) do found[id] = stored[i] and jobs[stored[i]] or nil end
  for i, each in ipairs(asked) do
    for _, id in ipairs(each.parents) do
      if not found[id] then return nil, {'unknown', ids[i], id} end
    end
  end
  return found
end

-- Whether nothing became of a job that arrived earlier: it has no edges yet, and is blocked, or has
-- ended, as it was.
local function is_untied(job, each)
  return next(parents_of(job)) == nil and (job.state == BLOCKED) == (each.state == BLOCKED)
    and final(job) == (each.state >= COMPLETED) and (not final(job) or job.at == each.at)
end

local function load_known()
  local numbers = {}
  for i, each in ipairs(asked) do
    if known[i] and #each.parents > 0 then numbers[#numbers + 1] = known[i] end
  end
  load(numbers)
  for i, each in ipairs(asked) do
    local job = known[i] and jobs[known[i]]
    if job and #each.parents > 0 and not is_untied(job, each) then each.parents = {} end
  end
end

-- See to open edges whose parents came before and have ended here, or end by this.
local function follow_ended(parents)
  local ended, before = {}, nil
  repeat
    before = #ended
    for i, each in ipairs(asked) do
      local job = known[i] and jobs[known[i]] or by_id[ids[i]]
      for n, id in ipairs(each.parents) do
        local waits, at = each.waits, 2 * n
        if waits[at - 1] == 'open' and final(parents[id]) and job.state == BLOCKED then
          waits[at - 1] = 'met'
          follow_edge(parents[id], job, waits[at], ended)
        end
      end
    end
  until #ended == before
  follow(ended, SLICE)
end

local function tie_all(parents)
  for i, each in ipairs(asked) do
    if #each.parents > 0 then tie(known[i] and jobs[known[i]] or by_id[ids[i]], each, parents) end
  end
  follow_ended(parents)
end

local function restore()
  for i, each in ipairs(asked) do
    local refusal = not known[i] and not by_id[ids[i]] and take_in(each)
    if refusal then return refusal end
  end
  load_known()
  local parents, refusal = find_parents()
  if refusal then return refusal end
  -- Ended ones are listed in the order in which they ended.
  table.sort(ended, function(a, b) return a.at < b.at end)
  for _, list in ipairs({fresh, ended}) do
    for _, job in ipairs(list) do enter(job, job.state, job.words_then) end
  end
  tie_all(parents)
  if last > before then
    stage_policies()
    for _, each in ipairs(wanted) do stage_queue(each[1], each[2]) end
    stage_span(before + 1, last - before)
    write_later('INCRBY', 'number', {last - before})
    news.work, news.ends = true, true
  end
  commit()
  return {'new', last - before}
end

return answer(restore())
