-- One slice of every chore. ARGV: the clocks, limit, for how long settled grants, workers,
-- statistics and posts are kept, how much posts may weigh. Answers how many jobs, entries and posts
-- were touched.

local limit = tonumber(ARGV[3])
local grants_kept, workers_kept, statistics_kept = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local PUT_OFF = 60000000
frugal = true

local KEEP = {[COMPLETED] = 'keep_completed', [FAILED] = 'keep_failed', [CANCELLED] = 'keep_cancelled'}

local function kept_until(job)
  return job.at + max(AT_LEAST, own_keep(job) or queue_row(job.queue)[KEEP[job.state]])
end

-- When an ended job may go; nil: now. Not while an unfinished job depends on it, nor while it holds
-- a unique key.
local function put_off(job)
  local till = kept_until(job)
  if till > wall then return till end
  if has(job.bits, PARENT) and call('EXISTS', K .. 'kids:' .. job.n) == 1 then return wall + PUT_OFF end
  if has(job.flags, UNIQUE) then
    local key = extra(job)[X_UNIQUE]
    holder_of(key)
    if keys[key].n == job.n and keys[key].till > wall then return keys[key].till end
  end
end

local function prune_one(job)
  local till = put_off(job)
  if till or not remove(job) then zset('kept', job.n, till or wall) end
end

-- Those at the head of a list of ended jobs that ended before this moment: a step. How many.
local function prune_list(key, before)
  local numbers, times = {}, {}
  for i, entry in ipairs(call('LRANGE', K .. key, 0, limit - 1)) do
    times[i] = parse('<d', entry, 15)
    if times[i] > before then break end
    numbers[i] = sub(entry, 1, 14)
  end
  if #numbers == 0 then return 0 end
  load(numbers)
  for i, number in ipairs(numbers) do
    local job = jobs[number]
    if job and ended_key(job) == key and job.at == times[i] then prune_one(job) end
  end
  write_later('LTRIM', key, {#numbers, -1})
  commit()
  return #numbers
end

-- Those whose time is their own, or was put off: a step. How many.
local function prune_kept()
  local numbers = call('ZRANGEBYSCORE', K .. 'kept', '-inf', decimal(wall), 'LIMIT', 0, limit)
  if #numbers == 0 then return 0 end
  load(numbers)
  for _, number in ipairs(numbers) do
    if jobs[number] then prune_one(jobs[number]) end
  end
  commit()
  return #numbers
end

local function prune()
  local n = 0
  for _, name in ipairs(all_queues()) do
    for state, setting in pairs(KEEP) do
      local before = wall - max(AT_LEAST, queue_row(name)[setting])
      n = n + prune_list('ended:' .. state .. ':' .. name, before)
    end
  end
  return n + prune_kept()
end

-- Entries of the key-value store whose time has come: a step. How many.
local function prune_cells()
  local keys = call('ZRANGEBYSCORE', K .. 'kv:due', '-inf', decimal(wall), 'LIMIT', 0, limit)
  for _, key in ipairs(keys) do drop_cell(key) end
  commit()
  return #keys
end

local function forget()
  for _, token in ipairs(call('ZRANGEBYSCORE', K .. 'settled', '-inf', decimal(lease_now - grants_kept),
    'LIMIT', 0, SLICE)) do
    zset('settled', token, false)
    hset('grant', token, false)
  end
  local workers = call('HGETALL', K .. 'worker')
  for i = 1, #workers, 2 do
    if parse('<d', workers[i + 1]) < lease_now - workers_kept then
      hset('worker', workers[i], false)
      hset('knows', workers[i], false)
      hset('wanted', workers[i], false)
    end
  end
  for _, minute in ipairs(call('ZRANGEBYSCORE', K .. 'minutes', '-inf',
    decimal(floor((wall - statistics_kept) / 60000000)), 'LIMIT', 0, SLICE)) do
    zset('minutes', minute, false)
    gone[#gone + 1] = K .. 'minute:' .. minute
  end
  commit()
end

local touched, done = 0, nil
repeat
  done = work_off(limit - touched)
  done = done + go_on_returning(limit - touched - done)
  touched = touched + done
until done == 0 or touched >= limit
for _, name in ipairs(all_queues()) do
  local moved = promote(name, limit) + expire(name, limit)
  if moved > 0 then news.work = true end
  touched = touched + moved
end
touched = touched + prune() + prune_cells() + prune_posts(tonumber(ARGV[7]), tonumber(ARGV[8]), limit)
forget()
return answer(touched)
