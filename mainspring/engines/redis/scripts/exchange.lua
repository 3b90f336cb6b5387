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
  news.ends = true
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
  if to == PENDING then news.work = true end
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
    news.ends = true
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
  lane.last_page = lane.n < size
end

-- How much to read at a time of so many lanes, of which little may be taken from each.
local function page_size(wish, lanes)
  if lanes == 1 and not wish.choosy then return min(wish.limit, SLICE) end
  return min(max(wish.choosy and 64 or 8, floor(2 * wish.limit / lanes)), SLICE)
end

-- Whether the next job of a lane goes before that of another.
local function goes_before(lane, other)
  local mine, theirs = lane.scores[lane.i], other.scores[other.i]
  return mine < theirs or (mine == theirs and lane.numbers[lane.i] < other.numbers[other.i])
end

-- Lanes that are not at their end are held in a heap, the one whose next job is first on top: there
-- may be one for each of thousands of queues. Let the lane at this place sink to where it belongs.
local function sink(heap, at)
  local lane, size = heap[at], #heap
  while 2 * at <= size do
    local child = 2 * at
    if child < size and goes_before(heap[child + 1], heap[child]) then child = child + 1 end
    if not goes_before(heap[child], lane) then break end
    heap[at] = heap[child]
    at = child
  end
  heap[at] = lane
end

local function heap_of(lanes, wish)
  local heap = {}
  for _, lane in ipairs(lanes) do
    turn_page(lane, page_size(wish, #lanes))
    if lane.n > 0 then heap[#heap + 1] = lane end
  end
  for at = floor(#heap / 2), 1, -1 do sink(heap, at) end
  return heap
end

-- What was next in the first lane has been dealt with.
local function go_on(heap, wish)
  local lane = heap[1]
  if lane.i > lane.n and not lane.last_page then turn_page(lane, page_size(wish, #heap)) end
  if lane.i > lane.n then
    heap[1] = heap[#heap]
    heap[#heap] = nil
  end
  if heap[1] then sink(heap, 1) end
end

local function task_of(body)
  local queue, task = byte(body, 37) + 256 * byte(body, 38), byte(body, 39) + 256 * byte(body, 40)
  return sub(body, 41 + queue, 40 + queue + task)
end

-- Whether a job is one of those that a choosy wish is for.
local function meant(wish, body)
  if wish.tasks and not wish.tasks[task_of(body)] then return false end
  if not wish.lowest then return true end
  local priority = byte(body, 10)
  if priority > 127 then priority = priority - 256 end
  return wish.lowest <= priority and priority <= wish.highest
end

local function careful(row, body)
  if row then return has(byte(row, 4), CAREFUL) end
  return has(byte(body, 9), SINGLE)
end

-- What a wish gets.
local function new_choice(wish)
  return {wish = wish, slots = wish.slots, alone = wish.alone, n = 0, full = wish.limit <= 0,
    numbers = {}, rows = {}, bodies = {}, scores = {}, lanes = {}}
end

local function add(choice, lane, i)
  local n = choice.n + 1
  choice.n = n
  choice.numbers[n], choice.rows[n], choice.bodies[n] = lane.numbers[i], lane.rows[i], lane.bodies[i]
  choice.scores[n], choice.lanes[n] = lane.scores[i], lane
  lane.taken[#lane.taken + 1] = lane.numbers[i]
  choice.full = n == choice.wish.limit
end

-- The next job of a lane: taken, passed over, or in the way of all others.
local function consider(choice, lane)
  local wish, i = choice.wish, lane.i
  lane.i = i + 1
  local take = not wish.choosy or meant(wish, lane.bodies[i])
  if take and lane.suspects then
    take = choice.alone > 0
    choice.alone = take and choice.alone - 1 or choice.alone
  elseif take then
    if choice.slots <= 0 and careful(lane.rows[i], lane.bodies[i]) then
      choice.full = true
      return
    end
    choice.slots = choice.slots - 1
  end
  if take then add(choice, lane, i) else lane.whole = false end
end

-- The rest of a page of the only lane, as far as nothing has to be weighed.
local function add_page(choice, lane)
  local from = lane.i
  local to = min(lane.n, from + choice.wish.limit - choice.n - 1)
  local n = choice.n - from + 1
  local numbers, rows, bodies, scores, lanes = choice.numbers, choice.rows, choice.bodies, choice.scores, choice.lanes
  local taken, lane_numbers, lane_rows, lane_bodies = lane.taken, lane.numbers, lane.rows, lane.bodies
  local before = #taken - from + 1
  for i = from, to do
    local row, body = lane_rows[i], lane_bodies[i]
    if choice.slots <= i - from and careful(row, body) then
      to = i - 1
      break
    end
    numbers[n + i], rows[n + i], bodies[n + i] = lane_numbers[i], row, body
    scores[n + i], lanes[n + i] = lane.scores[i], lane
    taken[before + i] = lane_numbers[i]
  end
  choice.n, choice.slots, lane.i = n + to, choice.slots - (to - from + 1), to + 1
  choice.full = choice.n == choice.wish.limit or to < lane.n
end

-- Choose from groups of lanes, each group in one order. The choice is full if it stopped at its
-- limit or at a careful job.
local function choose(groups, wish)
  local choice = new_choice(wish)
  if choice.full then
    choice.full = false
    return choice
  end
  for _, lanes in ipairs(groups) do
    local heap, looked = heap_of(lanes, wish), 0
    while heap[1] and not choice.full and not (wish.choosy and wish.reach and looked >= wish.reach) do
      local lane = heap[1]
      looked = looked + 1
      if not wish.choosy and not lane.suspects and #heap == 1 then
        add_page(choice, lane)
      else
        consider(choice, lane)
      end
      if not choice.full then go_on(heap, wish) end
    end
  end
  return choice
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

local function moved_row(row, token, stamp)
  local attempt, claims = parse('<I4I4', row, 7)
  return '\4' .. sub(row, 2, 6) .. pack('<I4I4', attempt + 1, claims + 1) .. sub(row, 15, 22)
    .. token .. sub(row, 31, 46) .. stamp
end

-- The row of a first attempt up to its score, by the flags of the body.
local function first_row(flags, token)
  return char(RUNNING, 0, flags, has(flags, SINGLE) and CAREFUL or 0)
    .. '\0\0\1\0\0\0\1\0\0\0' .. NOBODY .. token
end

local function running_rows(choice, token)
  local stamp, rows, at, begun = pack('<d', wall), {}, {}, {}
  local plain_tail, packed, score = NOBODY .. stamp, nil, nil
  for i = 1, choice.n do
    local body, row = choice.bodies[i], choice.rows[i]
    local flags, priority = byte(body, 9, 10)
    if row then
      row = moved_row(row, token, stamp)
    else
      if not begun[flags] then begun[flags] = first_row(flags, token) end
      if choice.scores[i] ~= score then
        score = choice.scores[i]
        packed = pack('<d', score)
      end
      row = begun[flags] .. packed .. (priority == 0 and plain_tail or sub(body, -8) .. stamp)
    end
    rows[i] = row
    at[2 * i - 1] = choice.numbers[i]
    at[2 * i] = row
    if has(flags, EXPIRES) then zset('expiry:' .. choice.lanes[i].queue, choice.numbers[i], false) end
  end
  return rows, at
end

-- Move the chosen from their lanes under the grant: a step.
local function take(choice, groups, token)
  local wish = choice.wish
  local rows, at = running_rows(choice, token)
  write_later('HSET', 'at', at)
  for _, lanes in ipairs(groups) do
    for _, lane in ipairs(lanes) do
      local n = #lane.taken
      if n > 0 then
        local key = sub(lane.key, #K + 1)
        if lane.whole then
          write_later('ZREMRANGEBYRANK', key, {0, n - 1})
        else
          write_later('ZREM', key, lane.taken)
        end
        count(lane.queue, PENDING, -n)
        count(lane.queue, RUNNING, n)
      end
    end
  end
  new_grant(token, wish.worker, wish.lease, choice.numbers)
  commit()
  return {choice.numbers, rows, choice.bodies}
end

-- Those among the chosen that the last slice of expiries did not reach are ended: a step.
local function end_late(choice)
  local mortal, late = {}, {}
  for i, number in ipairs(choice.numbers) do
    if has(byte(choice.bodies[i], 9), EXPIRES) then mortal[#mortal + 1] = number end
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
  go_on_returning(SLICE - work_off(SLICE))
  local names = open_queues(wish)
  for _, name in ipairs(names) do
    promote(name, max(SLICE, wish.limit))
    expire(name, SLICE)
  end
  local groups, choice
  repeat
    jobs = {}
    groups = groups_of(names, wish)
    choice = choose(groups, wish)
  until not end_late(choice)
  local taken = choice.n > 0 and take(choice, groups, token) or {{}, {}, {}}
  local next_due
  for _, name in ipairs(names) do
    local head = call('ZRANGE', K .. 'due:' .. name, 0, 0, 'WITHSCORES')
    if head[2] then next_due = min(next_due or tonumber(head[2]), tonumber(head[2])) end
  end
  return {choice.full and 1 or 0, next_due and decimal(next_due) or '', taken}
end

local function wished()
  local told = cmsgpack.unpack(ARGV[4])
  local wish = {worker = told[1], lease = told[2], limit = told[3], slots = told[4], alone = told[5],
    queues = told[6], reach = told[8]}
  if told[7] then
    wish.tasks = {}
    for _, name in ipairs(told[7]) do wish.tasks[name] = true end
  end
  if told[9] then wish.lowest, wish.highest = unpack(told[9]) end
  wish.choosy = told[7] or told[9]
  return wish
end

frugal = ARGV[5] == '1'
if #ARGV > 6 then settle_all() end
local claimed = ARGV[3] ~= '' and claim(ARGV[3], wished()) or {}
return answer({decimal(wall), lost, cancelled, again, told, claimed})
