-- What all scripts share; it stands before each of them.
--
-- A script works in steps. A step reads and decides, and only stages what is to be written; `commit`
-- then writes it, with commands that cannot fail. So a step is there whole or not at all.
--
-- What a job is stands in `body`, written once. Where it stands is its row in `at`; a pending job
-- that was never moved has none. Every other key is an index over these two. A number is written
-- with 14 digits, so that equal scores are ordered by number. Tokens are eight bytes: Lua's numbers
-- could not hold them.

local call, unpack = redis.call, unpack
local byte, char, sub, format = string.byte, string.char, string.sub, string.format
local floor, min, max = math.floor, math.min, math.max
local pack, parse = struct.pack, struct.unpack
local band, bor, bnot = bit.band, bit.bor, bit.bnot

-- KEYS are `meta`, which every store has, and one that never exists: while a cluster moves the slot
-- of the store, it refuses what has one key and not the other, so that no script sees half of it.
local K = sub(KEYS[1], 1, -5)
local SCHEDULED, BLOCKED, PENDING, RUNNING, RETRYING = 1, 2, 3, 4, 5
local COMPLETED, FAILED, CANCELLED = 6, 7, 8
-- Constants have names in capitals; they are inlined, see script.py. Flags of a body:
local UNIQUE, EXPIRES, MARKED, EDGES, KEEPS, SINGLE, HEADERS, EXTRA = 1, 2, 4, 8, 16, 32, 64, 128
-- Bits of a row. PARENT: other jobs wait or waited for it. WORDS: a reason stands behind the row.
local CAREFUL, SUSPECT, KEPT, PARENT, ASKED, WORDS, ERRED = 1, 2, 4, 8, 16, 32, 64
local REMOVED = 0 -- beside the states, in counts of what has left a queue
-- Places in the packed `extra` of a body.
local X_DELAY, X_RUN_AT, X_EXPIRES, X_KEY, X_UNIQUE, X_UNIQUE_FOR, X_DUPLICATE, X_TAGS = 1, 2, 3, 4, 5, 6, 7, 8
local X_KEEP = 10

local SLICE, CHUNK, SEGMENT = 1000, 500, 4096
-- Of bodies, which may be large, fewer are looked at together, and the large are not kept.
local FEW_BODIES, LARGE = 50, 4096
local AT_LEAST = 600000000 -- an ended job is kept for ten minutes, so that a repeated insert is known
local NOBODY = '\0\0\0\0\0\0\0\0'
local ROW, ROW_SIZE = '<BBBBHI4I4c8c8ddd', 54
local GRANT, GRANT_SIZE = '<ddI4B', 21
-- Behind it stand the delays of retries, eight bytes each.
local QUEUE, QUEUE_SIZE = '<BBddddI4dd', 54
local NEW_QUEUE = pack(QUEUE, 0, 0, 60000000, 86400000000, 86400000000, 1209600000000, 3, 30000000, 0)
local UNKNOWN_TASK = 'unknown task'

local wall, lease_now = tonumber(ARGV[1]), tonumber(ARGV[2])
if not wall then
  local time = call('TIME')
  wall = time[1] * 1000000 + time[2]
  lease_now = wall
end

local function decimal(number) return format('%.0f', number) end
local function has(flags, flag) return band(flags, flag) ~= 0 end
local function final(job) return job.state >= COMPLETED end

-- --- reading in chunks --------------------------------------------------------------------------

-- The arguments of the script from here on.
local function arguments_from(first)
  local found = {}
  for i = first, #ARGV do found[i - first + 1] = ARGV[i] end
  return found
end

local function read_many(key, fields)
  if #fields <= CHUNK then
    return #fields > 0 and call('HMGET', key, unpack(fields)) or {}
  end
  local values = {}
  for from = 1, #fields, CHUNK do
    local part = call('HMGET', key, unpack(fields, from, min(from + CHUNK - 1, #fields)))
    for i = 1, #part do values[from - 1 + i] = part[i] end
  end
  return values
end

-- --- what is staged -----------------------------------------------------------------------------

local jobs, grants, queues, keys = {}, {}, {}, {}
local bulk, hashes, zsets, sets, gone, counts, lefts, spans, dirty = {}, {}, {}, {}, {}, {}, {}, {}, {}
local news = {} -- what signals tell of, see News in store.py
local asked_for_room = false
-- Whether to go on although the memory is full: what renews, ends or removes must.
local frugal = false

local function stage(kind, key, field, value)
  local fields = kind[key]
  if not fields then
    fields = {}
    kind[key] = fields
  end
  fields[field] = value
end
local function hset(key, field, value) stage(hashes, K .. key, field, value) end
local function zset(key, member, score) stage(zsets, K .. key, member, score) end
local function sset(key, member, there) stage(sets, K .. key, member, there) end
local function write_later(command, key, arguments) bulk[#bulk + 1] = {command, K .. key, arguments} end
local function touch(job) dirty[job.n] = job end
local function count(queue, state, n)
  local field = state .. ':' .. queue
  counts[field] = (counts[field] or 0) + n
end
-- One job more has left this final state, or the store.
local function count_left(queue, state)
  local field = state .. ':' .. queue
  lefts[field] = (lefts[field] or 0) + 1
end

local function write(command, key, arguments)
  for from = 1, #arguments, CHUNK do
    call(command, key, unpack(arguments, from, min(from + CHUNK - 1, #arguments)))
  end
end

local function row_of(job)
  local bits = job.words and bor(job.bits, WORDS) or band(job.bits, bnot(WORDS))
  return pack(ROW, job.state, job.did, job.flags, bits, job.losses, job.attempt, job.claims,
    job.last, job.token, job.score, job.lift, job.at) .. (job.words or '')
end

local function stage_objects()
  for number, job in pairs(dirty) do
    hset('at', number, row_of(job))
    if job.relinked then
      gone[#gone + 1] = K .. 'parents:' .. number
      local parents = {}
      for parent in pairs(job.parents) do parents[#parents + 1] = parent end
      write_later('SADD', 'parents:' .. number, parents)
      job.relinked = nil
    end
  end
  for key, holder in pairs(keys) do
    if holder.changed then
      hset('unique', key, holder.n and holder.n .. decimal(holder.till) or false)
      holder.changed = nil
    end
  end
  for token, grant in pairs(grants) do
    if grant and grant.changed then
      hset('grant', token, pack(GRANT, grant.expires, grant.started, max(grant.left, 0), grant.lost) .. grant.worker)
      zset('leases', token, grant.left > 0 and grant.expires)
      if grant.left <= 0 then
        hset('holds', token, false)
        zset('settled', token, grant.expires)
      end
      grant.changed = nil
    end
  end
end

-- A server whose memory is full refuses a script at the first write that may take more, and then
-- no other. So the first write, which changes nothing, decides.
local function ask_for_room()
  if asked_for_room then return end
  asked_for_room = true
  if frugal then call('DEL', K .. 'nothing') else call('SETRANGE', K .. 'number', 0, '') end
end

local KIND = {HSET = 'hash', RPUSH = 'list', LTRIM = 'list', ZADD = 'zset', ZREM = 'zset',
  ZREMRANGEBYRANK = 'zset', SADD = 'set', INCRBY = 'string'}
local kinds = {}

-- No write can fail but by a key that somebody made into something else: so look at them before.
local function must_be(kind, key)
  if kinds[key] == kind then return end
  local found = call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then
    error('WRONGTYPE ' .. key .. ' should be a ' .. kind .. ', it is a ' .. found)
  end
  kinds[key] = kind
end

local function look_at_kinds()
  for _, each in ipairs(bulk) do must_be(KIND[each[1]], each[2]) end
  for key in pairs(hashes) do must_be('hash', key) end
  for key in pairs(zsets) do must_be('zset', key) end
  for key in pairs(sets) do must_be('set', key) end
  if next(counts) then must_be('hash', K .. 'count') end
  if next(lefts) then must_be('hash', K .. 'left') end
  if next(spans) then must_be('hash', K .. 'span') end
end

-- Write what is staged.
local function commit()
  stage_objects()
  look_at_kinds()
  ask_for_room()
  for _, key in ipairs(gone) do call('DEL', key) end
  for _, each in ipairs(bulk) do write(each[1], each[2], each[3]) end
  for key, fields in pairs(hashes) do
    local put, drop = {}, {}
    for field, value in pairs(fields) do
      if value then
        put[#put + 1] = field
        put[#put + 1] = value
      else
        drop[#drop + 1] = field
      end
    end
    write('HDEL', key, drop)
    write('HSET', key, put)
  end
  for key, members in pairs(zsets) do
    local put, drop = {}, {}
    for member, score in pairs(members) do
      if score then
        put[#put + 1] = decimal(score)
        put[#put + 1] = member
      else
        drop[#drop + 1] = member
      end
    end
    write('ZREM', key, drop)
    write('ZADD', key, put)
  end
  for key, members in pairs(sets) do
    local put, drop = {}, {}
    for member, there in pairs(members) do
      local list = there and put or drop
      list[#list + 1] = member
    end
    write('SREM', key, drop)
    write('SADD', key, put)
  end
  for field, n in pairs(counts) do
    if n ~= 0 then call('HINCRBY', K .. 'count', field, decimal(n)) end
  end
  for field, n in pairs(lefts) do call('HINCRBY', K .. 'left', field, decimal(n)) end
  for segment, n in pairs(spans) do
    if n ~= 0 and call('HINCRBY', K .. 'span', segment, decimal(n)) == 0 then
      call('HDEL', K .. 'span', segment)
    end
  end
  bulk, hashes, zsets, sets, gone = {}, {}, {}, {}, {}
  counts, lefts, spans, dirty = {}, {}, {}, {}
end

-- The end of every script: what it answers, after a hint to those who wait.
local function answer(value)
  for each in pairs(news) do call('PUBLISH', K .. 'wake:' .. each, '') end
  return value
end

-- --- jobs ---------------------------------------------------------------------------------------

local HEAD = '<dBbc10c16HH'
local function read_head(job, body)
  local queue_size, task_size
  job.body = #body <= LARGE and body or nil
  job.created, job.flags, job.priority, job.policy, job.id, queue_size, task_size = parse(HEAD, body)
  job.queue = sub(body, 41, 40 + queue_size)
  job.task = sub(body, 41 + queue_size, 40 + queue_size + task_size)
  job.sections = 41 + queue_size + task_size
end

local function read_row(job, row)
  local _
  job.state, job.did, job.flags, job.bits, job.losses, job.attempt, job.claims, job.last,
    job.token, job.score, job.lift, job.at = parse(ROW, row)
  job.words = has(job.bits, WORDS) and sub(row, ROW_SIZE + 1) or nil
end

local function never_moved(job, body)
  job.state, job.did, job.losses, job.attempt, job.claims = PENDING, 0, 0, 0, 0
  job.bits = has(job.flags, SINGLE) and CAREFUL or 0
  job.last, job.token, job.at = NOBODY, NOBODY, 0
  job.lift = job.priority ~= 0 and parse('<d', body, #body - 7) or 0
  job.score = job.created - job.lift
end

-- See to it that these are in `jobs`; false for those that do not exist.
local function load(numbers)
  local missing = {}
  for _, number in ipairs(numbers) do
    if jobs[number] == nil then
      jobs[number] = false
      missing[#missing + 1] = number
    end
  end
  local rows = read_many(K .. 'at', missing)
  for from = 1, #missing, FEW_BODIES do
    local to = min(from + FEW_BODIES - 1, #missing)
    for i, body in ipairs(call('HMGET', K .. 'body', unpack(missing, from, to))) do
      if body then
        local job = {n = missing[from + i - 1]}
        local row = rows[from + i - 1]
        read_head(job, body)
        if row then read_row(job, row) else never_moved(job, body) end
        jobs[job.n] = job
      end
    end
  end
end

-- The rarer parts of a job: `extra` as a list, edges as pairs of an id and whether to run anyway.
local function read_sections(job)
  if job.extra then return end
  job.extra, job.edges = {}, {}
  if not has(job.flags, EXTRA) then return end
  local at, body = job.sections, job.body or call('HGET', K .. 'body', job.n)
  if has(job.flags, HEADERS) then at = at + 4 + parse('<I4', body, at) end
  local size = parse('<I4', body, at)
  job.extra = cmsgpack.unpack(sub(body, at + 4, at + 3 + size))
  at = at + 4 + size
  if has(job.flags, EDGES) then
    local edges = parse('<I4', body, at)
    for i = 0, edges - 1 do
      local from = at + 4 + 17 * i
      job.edges[i + 1] = {sub(body, from, from + 15), byte(body, from + 16) == 1}
    end
  end
end

local function extra(job)
  read_sections(job)
  return job.extra
end

local function max_retries(job)
  local a, b, c = byte(job.policy, 1, 3)
  return a + 256 * b + 65536 * c
end

-- --- queues -------------------------------------------------------------------------------------

local function read_queue(row)
  local queue = {new = not row}
  row = row or NEW_QUEUE
  queue.paused, queue.by_hand, queue.aging, queue.keep_completed, queue.keep_cancelled,
    queue.keep_failed, queue.max_retries, queue.ack_deadline, queue.max_depth = parse(QUEUE, row)
  queue.retry_delays = sub(row, QUEUE_SIZE + 1)
  return queue
end

local function queue_row(name)
  local queue = queues[name]
  if not queue then
    queue = read_queue(call('HGET', K .. 'queue', name))
    queues[name] = queue
  end
  return queue
end

local function write_queue(name, queue)
  queue.new = false
  hset('queue', name, pack(QUEUE, queue.paused, queue.by_hand, queue.aging, queue.keep_completed,
    queue.keep_cancelled, queue.keep_failed, queue.max_retries, queue.ack_deadline, queue.max_depth)
    .. queue.retry_delays)
end

-- All queues, by name: (name, row) pairs.
local function all_queues()
  local told = call('HGETALL', K .. 'queue')
  local names = {}
  for i = 1, #told, 2 do names[#names + 1] = told[i] end
  table.sort(names)
  for i = 1, #told, 2 do
    queues[told[i]] = queues[told[i]] or read_queue(told[i + 1])
  end
  return names
end

local function lift_of(job)
  return job.priority == 0 and 0 or job.priority * queue_row(job.queue).aging
end

-- --- places -------------------------------------------------------------------------------------

local function lane_of(job)
  return (has(job.bits, SUSPECT) and 'alone:' or 'ready:') .. job.queue
end

local function moment_of(job)
  if not job.moment then job.moment = tonumber(call('HGET', K .. 'mortal', job.n)) end
  return job.moment
end

local function ended_key(job) return 'ended:' .. job.state .. ':' .. job.queue end

local function own_keep(job)
  return job.state == COMPLETED and has(job.flags, KEEPS) and extra(job)[X_KEEP] or nil
end

-- Write (`there`) or take away what the indexes say of a job.
local function index(job, there)
  local state = job.state
  if state == PENDING then
    zset(lane_of(job), job.n, there and job.score)
  elseif state == SCHEDULED or state == RETRYING then
    zset('due:' .. job.queue, job.n, there and job.at)
    zset('later:' .. job.queue, job.n, there and job.score)
    if job.words == UNKNOWN_TASK then sset('parked:' .. job.task, job.n, there) end
  elseif state == BLOCKED then
    sset('blocked', job.n, there)
  elseif state == RUNNING then
    if has(job.bits, ASKED) then sset('asked', job.n, there) end
  else
    -- Ended jobs stand in a list in the order of their ends, which is cheap; an entry that is out of
    -- date tells by its time.
    local keep = own_keep(job)
    if not there or keep then
      zset('kept', job.n, there and job.at + max(keep, AT_LEAST))
    else
      write_later('RPUSH', ended_key(job), {job.n .. pack('<d', job.at)})
    end
  end
  if has(job.flags, EXPIRES) and state < COMPLETED and state ~= RUNNING then
    zset('expiry:' .. job.queue, job.n, there and moment_of(job))
  end
end

local function leave(job)
  index(job, false)
  count(job.queue, job.state, -1)
  if final(job) then count_left(job.queue, job.state) end
end

-- `words` are the reason, `at` and `score` are those of the new place.
local function enter(job, state, words)
  job.state, job.words = state, words
  index(job, true)
  count(job.queue, state, 1)
  touch(job)
end

-- --- grants -------------------------------------------------------------------------------------

local function grant_of(token)
  local grant = grants[token]
  if grant == nil then
    local row = call('HGET', K .. 'grant', token)
    grant = false
    if row then
      grant = {worker = sub(row, GRANT_SIZE + 1)}
      grant.expires, grant.started, grant.left, grant.lost = parse(GRANT, row)
    end
    grants[token] = grant
  end
  return grant
end

local function give_back(token, n)
  local grant = grant_of(token)
  if grant then
    grant.left = grant.left - n
    grant.changed = true
  end
end

local function new_grant(token, worker, lease, numbers)
  grants[token] = {expires = lease_now + lease, started = wall, left = #numbers, lost = 0,
    worker = worker, changed = true}
  hset('holds', token, table.concat(numbers))
end

-- What is still held under a token, in order: numbers, rows, bodies.
local function held_under(token)
  local list = call('HGET', K .. 'holds', token) or ''
  local numbers = {}
  for from = 1, #list, 14 do numbers[#numbers + 1] = sub(list, from, from + 13) end
  local rows, found = read_many(K .. 'at', numbers), {}
  for i, number in ipairs(numbers) do
    local row = rows[i]
    if row and byte(row, 1) == RUNNING and sub(row, 23, 30) == token then
      found[#found + 1] = {number, row, (parse('<d', row, 31))}
    end
  end
  table.sort(found, function(a, b) return a[3] < b[3] or (a[3] == b[3] and a[1] < b[1]) end)
  local numbers_left, rows_left = {}, {}
  for i, each in ipairs(found) do numbers_left[i], rows_left[i] = each[1], each[2] end
  return {numbers_left, rows_left, read_many(K .. 'body', numbers_left)}
end

-- --- unique keys --------------------------------------------------------------------------------

-- Who holds this key now; nil if nobody does.
local function holder_of(key)
  local holder = keys[key]
  if not holder then
    local told = call('HGET', K .. 'unique', key)
    holder = told and {n = sub(told, 1, 14), till = tonumber(sub(told, 15))} or {}
    keys[key] = holder
  end
  if not holder.n then return nil end
  load({holder.n})
  local job = jobs[holder.n]
  if not job or (final(job) and holder.till <= wall) then return nil end
  return job
end

local function hold(key, job, till)
  keys[key] = {n = job.n, till = till, changed = true}
end

local function free(key)
  keys[key] = {changed = true}
end

-- --- ends and dependents ------------------------------------------------------------------------

-- `kids:n` has the dependents of a job: 0 satisfied, 1 waiting, 2 waiting, but to run anyway.
-- `fell:n` has those that were cancelled because of it, `stay:n` those of them that could not come
-- back when it was replayed. `parents:n` are all edges the other way.

local function parents_of(job)
  if not job.parents then
    job.parents = {}
    for _, parent in ipairs(call('SMEMBERS', K .. 'parents:' .. job.n)) do
      job.parents[parent] = true
    end
  end
  return job.parents
end

local function drop_edges(job)
  for parent in pairs(parents_of(job)) do
    zset('kids:' .. parent, job.n, false)
    sset('fell:' .. parent, job.n, false)
    sset('stay:' .. parent, job.n, false)
  end
  job.parents, job.relinked = {}, true
  touch(job)
end

-- Give back what an ended job held: its unique key, and its edges to parents.
local function let_go(job)
  if has(job.flags, UNIQUE) then
    local key = extra(job)[X_UNIQUE]
    holder_of(key)
    local holder = keys[key]
    if holder.n == job.n and holder.till <= wall then free(key) end
  end
  if has(job.flags, EDGES) then drop_edges(job) end
end

-- End a job that waits or runs; its dependents are for `follow`.
local function finish(job, state, words, took)
  leave(job)
  job.at, job.score, job.bits = wall, took or 0, band(job.bits, bnot(ASKED))
  enter(job, state, words)
  let_go(job)
  news.ends = true
end

-- Let a job go whose parents have all been satisfied.
local function release(job)
  leave(job)
  job.lift = lift_of(job)
  job.attempt, job.losses = 0, 0
  job.bits = bor(band(job.bits, bor(PARENT, ERRED)), has(job.flags, SINGLE) and CAREFUL or 0)
  local due = max(job.at, wall)
  job.at, job.score = due, due - job.lift
  enter(job, due > wall and SCHEDULED or PENDING)
  news.work = true
end

-- Satisfy or break one edge whose parent has ended; a job that ends by it is added to `ended`.
local function follow_edge(parent, child, anyway, ended)
  if parent.state == COMPLETED or anyway then
    zset('kids:' .. parent.n, child.n, 0)
    child.score = child.score - 1
    touch(child)
    if child.score <= 0 then release(child) end
    return
  end
  finish(child, CANCELLED, 'dependency failed')
  child.parents = {[parent.n] = true}
  sset('fell:' .. parent.n, child.n, true)
  ended[#ended + 1] = child.n
end

-- See to the dependents of jobs that have ended, at most `budget` edges; the rest is left to later
-- steps by a mark in `releases`. How many edges were dealt with.
local function follow(ended, budget)
  local at, done = 1, 0
  while at <= #ended do
    local parent = jobs[ended[at]]
    at = at + 1
    if has(parent.bits, PARENT) then
      local left = budget - done
      local kids = call('ZRANGEBYSCORE', K .. 'kids:' .. parent.n, 1, 2, 'WITHSCORES', 'LIMIT', 0,
        left + 1)
      local many, numbers = #kids / 2, {}
      sset('releases', parent.n, many > left)
      many = min(many, left)
      for i = 1, many do numbers[i] = kids[2 * i - 1] end
      load(numbers)
      for i = 1, many do
        local child = jobs[numbers[i]]
        if child and child.state == BLOCKED then
          follow_edge(parent, child, kids[2 * i] == '2', ended)
        else
          zset('kids:' .. parent.n, numbers[i], false)
        end
      end
      done = done + many
    end
  end
  return done
end

-- Go on with dependents that earlier steps left: a step. How many were dealt with.
local function work_off(limit)
  local parents = call('SRANDMEMBER', K .. 'releases', 100)
  if #parents == 0 then return 0 end
  load(parents)
  local ended = {}
  for _, number in ipairs(parents) do
    if jobs[number] and final(jobs[number]) then
      ended[#ended + 1] = number
    else
      sset('releases', number, false)
    end
  end
  local done = follow(ended, limit)
  commit()
  return max(done, #parents)
end

-- --- what is due, what is late ------------------------------------------------------------------

-- The first due ones in the order of the claim, so that nothing urgent waits behind a mass.
local function due_by_score(queue, limit, otherwise)
  local found = {}
  for from = 0, 20 * SLICE, SLICE do
    local page = call('ZRANGE', K .. 'later:' .. queue, from, from + SLICE - 1)
    local rows = read_many(K .. 'at', page)
    for i, number in ipairs(page) do
      if #found < limit and parse('<d', rows[i], 47) <= wall then found[#found + 1] = number end
    end
    if #page < SLICE or #found == limit then break end
  end
  return #found > 0 and found or otherwise
end

-- Make pending what has fallen due in a queue, at most so many: a step. How many.
local function promote(queue, limit)
  local due = call('ZRANGEBYSCORE', K .. 'due:' .. queue, '-inf', decimal(wall), 'LIMIT', 0, limit + 1)
  if #due == 0 then return 0 end
  if #due > limit then
    due[#due] = nil
    due = due_by_score(queue, limit, due)
  end
  load(due)
  for _, number in ipairs(due) do
    local job = jobs[number]
    leave(job)
    job.bits = band(job.bits, bnot(KEPT))
    enter(job, PENDING)
  end
  commit()
  return #due
end

-- End what has waited too long in a queue, at most so many: a step. How many.
local function expire(queue, limit)
  local late = call('ZRANGEBYSCORE', K .. 'expiry:' .. queue, '-inf', decimal(wall), 'LIMIT', 0, limit)
  if #late == 0 then return 0 end
  load(late)
  for _, number in ipairs(late) do finish(jobs[number], FAILED, 'expired') end
  follow(late, SLICE)
  commit()
  return #late
end

-- --- removal ------------------------------------------------------------------------------------

-- Take away the edges to the dependents of an ended job, at most a slice of edges in a script.
-- Whether there are no more.
local edges_left = SLICE
local function cut_off(job)
  local n, whole = job.n, true
  for _, key in ipairs({'fell:' .. n, 'stay:' .. n}) do
    local children = call('SRANDMEMBER', K .. key, edges_left)
    for _, child in ipairs(children) do
      sset(key, child, false)
      sset('parents:' .. child, n, false)
    end
    edges_left = edges_left - #children
    whole = whole and call('SCARD', K .. key) == #children
  end
  local kids = call('ZRANGEBYSCORE', K .. 'kids:' .. n, 0, 2, 'LIMIT', 0, edges_left)
  for _, child in ipairs(kids) do
    zset('kids:' .. n, child, false)
    sset('parents:' .. child, n, false)
  end
  edges_left = edges_left - #kids
  return whole and call('ZCARD', K .. 'kids:' .. n) == #kids
end

-- Take an ended job, and all that is known of it, out of the store. False if it has so many
-- dependents that another script has to go on with it.
local function remove(job)
  local n = job.n
  if has(job.bits, PARENT) and not cut_off(job) then return false end
  leave(job)
  count_left(job.queue, REMOVED)
  if has(job.flags, EDGES) then drop_edges(job) end
  if has(job.bits, PARENT) then
    for _, key in ipairs({'kids:', 'fell:', 'stay:'}) do gone[#gone + 1] = K .. key .. n end
    sset('releases', n, false)
    sset('returns', n, false)
  end
  if has(job.flags, EXTRA) then
    local rare = extra(job)
    if rare[X_UNIQUE] then
      holder_of(rare[X_UNIQUE])
      if keys[rare[X_UNIQUE]].n == n then free(rare[X_UNIQUE]) end
    end
    if rare[X_KEY] then sset('key:' .. rare[X_KEY], n, false) end
    for _, tag in ipairs(rare[X_TAGS] or {}) do sset('tag:' .. tag, n, false) end
  end
  if has(job.bits, ERRED) then gone[#gone + 1] = K .. 'errors:' .. n end
  gone[#gone + 1] = K .. 'parents:' .. n
  gone[#gone + 1] = K .. 'log:' .. n
  dirty[n], job.relinked = nil, nil
  for _, key in ipairs({'at', 'body', 'result', 'progress', 'mortal'}) do hset(key, n, false) end
  hset('id', job.id, false)
  local segment = decimal(floor(tonumber(n) / SEGMENT))
  spans[segment] = (spans[segment] or 0) - 1
  jobs[n] = false
  return true
end
