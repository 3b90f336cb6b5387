-- Settle finished attempts and claim the next jobs. ARGV: the clocks, the claim (token, wish as
-- msgpack; empty: none), whether to go on although the memory is full, how many groups of
-- successes, the groups, the other transitions.
--
-- A group is (token, queue, how many) and so many of number .. run time .. result: attempts that
-- succeeded under one grant. Its queue is empty where the caller does not know it. Every other
-- transition is 13 arguments, see `settle_others`.

local HISTORY = 1000 -- errors kept of one job

local lost, cancelled, again, told, ended = {}, {}, {}, {}, {}
local slow = {}

local function miss(number, token, to, row)
  if row and sub(row, 15, 22) == token and byte(row, 2) == to then
    again[#again + 1] = number
    if byte(row, 1) == CANCELLED and to ~= CANCELLED then cancelled[#cancelled + 1] = number end
  else
    lost[#lost + 1] = number
    lost[#lost + 1] = token
  end
end

-- --- successes, by whole groups -----------------------------------------------------------------

local function complete_group(token, queue, from, n)
  local numbers = {}
  for i = 1, n do numbers[i] = sub(ARGV[from + i - 1], 1, 14) end
  local rows = read_many(K .. 'at', numbers)
  local at, index, results, done = {}, {}, {}, {}
  local stamp = pack('<d', wall)
  local tail = token .. token
  local amount = 0
  for i = 1, n do
    local row, number, argument = rows[i], numbers[i], ARGV[from + i - 1]
    if not row or byte(row, 1) ~= RUNNING or sub(row, 23, 30) ~= token then
      miss(number, token, COMPLETED, row)
    elseif done[number] then
      again[#again + 1] = number
    elseif queue == '' or band(byte(row, 3), UNIQUE + EDGES + KEEPS) ~= 0
      or band(byte(row, 4), PARENT + ASKED) ~= 0 then
      slow[#slow + 1] = {number, token, COMPLETED, 0, parse('<d', argument, 15), sub(argument, 23), '', 0, '', false, false, false, 0}
    else
      amount = amount + 1
      done[number] = true
      at[2 * amount - 1] = number
      at[2 * amount] = '\6\6' .. sub(row, 3, 14) .. tail .. sub(argument, 15, 22) .. NOBODY .. stamp
      index[amount] = number .. stamp
      if #argument > 22 then
        results[#results + 1] = number
        results[#results + 1] = sub(argument, 24)
      end
    end
  end
  if amount == 0 then return end
  write_later('HSET', 'at', at)
  write_later('RPUSH', 'ended:6:' .. queue, index)
  write_later('HSET', 'result', results)
  count(queue, RUNNING, -amount)
  count(queue, COMPLETED, amount)
  give_back(token, amount)
  matters = true
end

-- --- everything else ----------------------------------------------------------------------------

local function suspected(job, attempt, losses)
  return losses > 1 or (losses == 1 and attempt > max_retries(job))
end

local function wait_again(job, t, to, words)
  local old_score, losses = t[11], t[13]
  local due = wall + t[4]
  if not old_score then
    job.lift = lift_of(job)
    job.score = due - job.lift
  end
  job.losses = losses
  job.bits = bor(band(job.bits, bor(PARENT, ERRED)), t[12] and CAREFUL or 0,
    suspected(job, job.attempt + 1, losses) and SUSPECT or 0, old_score and KEPT or 0)
  job.at = due
  enter(job, to, to ~= PENDING and words or nil)
  if to == PENDING then matters = true end
end

-- t: number, token, target state, delay, run time, result, error, its time, reason (results and
-- reasons with a byte before them, or empty), whether to give back the attempt, to keep the old
-- score and to be careful, losses.
local function settle(job, t)
  local to = t[3]
  local words = t[9] ~= '' and sub(t[9], 2) or nil
  local asked = has(job.bits, ASKED)
  if asked and to ~= COMPLETED then
    to = CANCELLED
    words = job.words ~= '' and job.words or words
    cancelled[#cancelled + 1] = job.n
  end
  if t[7] ~= '' then
    write_later('RPUSH', 'errors:' .. job.n, {pack('<d', t[8] > 0 and t[8] or wall) .. t[7]})
    write_later('LTRIM', 'errors:' .. job.n, {-HISTORY, -1})
    job.bits = bor(job.bits, ERRED)
  end
  leave(job)
  job.bits = band(job.bits, bnot(ASKED))
  give_back(job.token, 1)
  if t[10] then job.attempt = job.attempt - 1 end
  job.last, job.did = t[2], t[3]
  if to >= COMPLETED then
    job.at, job.score = wall, t[5]
    if t[6] ~= '' then hset('result', job.n, sub(t[6], 2)) end
    enter(job, to, words)
    let_go(job)
    ended[#ended + 1] = job.n
    matters = true
  else
    wait_again(job, t, to, words)
  end
  told[#told + 1] = {job.n, job.queue, job.task, to}
end

local function settle_others(from)
  for i = from, #ARGV, 13 do
    local t = {unpack(ARGV, i, i + 12)}
    for _, at in ipairs({3, 4, 5, 8, 13}) do t[at] = tonumber(t[at]) end
    for at = 10, 12 do t[at] = t[at] == '1' end
    slow[#slow + 1] = t
  end
  local numbers = {}
  for i, t in ipairs(slow) do numbers[i] = t[1] end
  load(numbers)
  for _, t in ipairs(slow) do
    local job = jobs[t[1]]
    if job and job.state == RUNNING and job.token == t[2] then
      settle(job, t)
    else
      miss(t[1], t[2], t[3], job and row_of(job))
    end
  end
  follow(ended, SLICE)
end

local function settle_all()
  local at = 7
  for _ = 1, tonumber(ARGV[6]) do
    local n = tonumber(ARGV[at + 2])
    complete_group(ARGV[at], ARGV[at + 1], at + 3, n)
    at = at + 3 + n
  end
  settle_others(at)
  commit()
end

-- --- choice -------------------------------------------------------------------------------------

-- A lane of pending jobs, read page by page in its order.
local function new_lane(key, queue, suspects)
  return {key = K .. key .. queue, queue = queue, suspects = suspects, rank = 0, i = 1, n = 0,
    numbers = {}, scores = {}, taken = {}, whole = true}
end

local function turn_page(lane, size)
  local page = call('ZRANGE', lane.key, lane.rank, lane.rank + size - 1, 'WITHSCORES')
  lane.n, lane.i = #page / 2, 1
  lane.rank = lane.rank + lane.n
  for i = 1, lane.n do
    lane.numbers[i] = page[2 * i - 1]
    lane.scores[i] = tonumber(page[2 * i])
  end
  for i = #lane.numbers, lane.n + 1, -1 do lane.numbers[i] = nil end
  lane.rows = read_many(K .. 'at', lane.numbers)
  lane.bodies = read_many(K .. 'body', lane.numbers)
  lane.ended = lane.n == 0
end

local function next_lane(lanes, size)
  local best
  for _, lane in ipairs(lanes) do
    if lane.i > lane.n and not lane.ended then turn_page(lane, size) end
    if not lane.ended then
      local score = lane.scores[lane.i]
      local other = best and best.scores[best.i]
      if not best or score < other
        or (score == other and lane.numbers[lane.i] < best.numbers[best.i]) then
        best = lane
      end
    end
  end
  return best
end

local function task_of(body)
  local queue, task = byte(body, 37) + 256 * byte(body, 38), byte(body, 39) + 256 * byte(body, 40)
  return sub(body, 41 + queue, 40 + queue + task)
end

-- What a wish gets: chosen jobs one by one, from groups of lanes, each group in one order.
local function choose(groups, wish)
  local got = {numbers = {}, rows = {}, bodies = {}, scores = {}, lanes = {}}
  local n, slots, alone = 0, wish.slots, wish.alone
  if wish.limit <= 0 then return got, false end
  for _, lanes in ipairs(groups) do
    local looked = 0
    local size = wish.limit
    if #lanes > 1 then size = max(16, floor(wish.limit / 2)) end
    if wish.tasks then size = max(size, 256) end
    while not (wish.tasks and wish.reach and looked >= wish.reach) do
      local lane = next_lane(lanes, min(size, SLICE))
      if not lane then break end
      local i = lane.i
      lane.i, looked = i + 1, looked + 1
      local number, row, body = lane.numbers[i], lane.rows[i], lane.bodies[i]
      local take = not wish.tasks or wish.tasks[task_of(body)]
      if take and lane.suspects then
        take = alone > 0
        alone = take and alone - 1 or alone
      elseif take then
        local careful
        if row then careful = has(byte(row, 4), CAREFUL) else careful = has(byte(body, 9), SINGLE) end
        if careful and slots <= 0 then return got, true end
        slots = slots - 1
      end
      if take then
        n = n + 1
        got.numbers[n], got.rows[n], got.bodies[n] = number, row, body
        got.scores[n], got.lanes[n] = lane.scores[i], lane
        lane.taken[#lane.taken + 1] = number
        if n == wish.limit then return got, true end
      else
        lane.whole = false
      end
    end
  end
  return got, false
end

local function groups_of(names, wish)
  local groups, all = {}, {}
  for _, name in ipairs(names) do
    local lanes = {new_lane('ready:', name, false)}
    if wish.alone > 0 then lanes[2] = new_lane('alone:', name, true) end
    groups[#groups + 1] = lanes
    for _, lane in ipairs(lanes) do all[#all + 1] = lane end
  end
  return wish.queues and groups or {all}
end

-- --- taking -------------------------------------------------------------------------------------

local function running_row(row, body, score, token, stamp)
  if row then
    local attempt, claims = parse('<I4I4', row, 7)
    return '\4' .. sub(row, 2, 6) .. pack('<I4I4', attempt + 1, claims + 1) .. sub(row, 15, 22)
      .. token .. sub(row, 31, 46) .. stamp
  end
  local flags = byte(body, 9)
  return char(RUNNING, 0, flags, has(flags, SINGLE) and CAREFUL or 0)
    .. '\0\0\1\0\0\0\1\0\0\0' .. NOBODY .. token .. pack('<d', score)
    .. (byte(body, 10) == 0 and NOBODY or sub(body, -8)) .. stamp
end

-- Move the chosen from their lanes under the grant: a step.
local function take(got, wish, token)
  local stamp, at, rows, amounts, seen = pack('<d', wall), {}, {}, {}, {}
  for i, number in ipairs(got.numbers) do
    local body, lane = got.bodies[i], got.lanes[i]
    local row = running_row(got.rows[i], body, got.scores[i], token, stamp)
    rows[i] = row
    at[2 * i - 1] = number
    at[2 * i] = row
    amounts[lane.queue] = (amounts[lane.queue] or 0) + 1
    seen[lane] = true
    if has(byte(body, 9), EXPIRES) then zset('expiry:' .. lane.queue, number, false) end
  end
  for lane in pairs(seen) do
    local key = sub(lane.key, #K + 1)
    if lane.whole then
      write_later('ZREMRANGEBYRANK', key, {0, #lane.taken - 1})
    else
      write_later('ZREM', key, lane.taken)
    end
  end
  for queue, n in pairs(amounts) do
    count(queue, PENDING, -n)
    count(queue, RUNNING, n)
  end
  write_later('HSET', 'at', at)
  new_grant(token, wish.worker, wish.lease, got.numbers)
  commit()
  return {got.numbers, rows, got.bodies}
end

-- Those among the chosen that the last slice of expiries did not reach are ended: a step.
local function end_late(got)
  local mortal, late = {}, {}
  for i, number in ipairs(got.numbers) do
    if has(byte(got.bodies[i], 9), EXPIRES) then mortal[#mortal + 1] = number end
  end
  for i, moment in ipairs(read_many(K .. 'mortal', mortal)) do
    if moment and tonumber(moment) <= wall then late[#late + 1] = mortal[i] end
  end
  if #late == 0 then return false end
  load(late)
  for _, number in ipairs(late) do finish(jobs[number], FAILED, 'expired') end
  follow(late, SLICE)
  commit()
  return true
end

-- Names of the queues that the wish is about and that may be taken from.
local function open_queues(wish)
  local names, seen = {}, {}
  for _, name in ipairs(wish.queues or all_queues()) do
    local queue = queue_row(name)
    if not seen[name] and queue.paused == 0 and (wish.queues or queue.by_hand == 0) then
      names[#names + 1] = name
    end
    seen[name] = true
  end
  return names
end

local function claim(token, wish)
  if grant_of(token) then return {0, '', held_under(token)} end
  work_off(SLICE)
  local names = open_queues(wish)
  for _, name in ipairs(names) do
    promote(name, max(SLICE, wish.limit))
    expire(name, SLICE)
  end
  local got, more
  repeat
    jobs = {}
    got, more = choose(groups_of(names, wish), wish)
  until not end_late(got)
  local taken = #got.numbers > 0 and take(got, wish, token) or {{}, {}, {}}
  local next_due
  for _, name in ipairs(names) do
    local head = call('ZRANGE', K .. 'due:' .. name, 0, 0, 'WITHSCORES')
    if head[2] then next_due = min(next_due or tonumber(head[2]), tonumber(head[2])) end
  end
  return {more and 1 or 0, next_due and decimal(next_due) or '', taken}
end

local function wished()
  local told = cmsgpack.unpack(ARGV[4])
  local wish = {worker = told[1], lease = told[2], limit = told[3], slots = told[4], alone = told[5],
    queues = told[6], reach = told[8]}
  if told[7] then
    wish.tasks = {}
    for _, name in ipairs(told[7]) do wish.tasks[name] = true end
  end
  return wish
end

frugal = ARGV[5] == '1'
if #ARGV > 6 then settle_all() end
local claimed = ARGV[3] ~= '' and claim(ARGV[3], wished()) or {}
return answer({decimal(wall), lost, cancelled, again, told, claimed})
