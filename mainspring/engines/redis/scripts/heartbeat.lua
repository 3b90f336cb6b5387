-- Presence, renewal and notes up; losses, cancels, pauses and what is wanted down. ARGV: the clocks,
-- worker, when it started (empty: it has stopped), its tasks as msgpack, its presence, lease, how
-- many tokens, the tokens, the notes: (number, token, time, text, percent or empty).

local LOG_LINES, LOG_SIZE = 1000, 262144
local FRESH = 60e6
local MOST_UNPARKED = 10000 -- more fall due by themselves within minutes

local worker, started, tasks, presence = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local lease, tokens = tonumber(ARGV[7]), tonumber(ARGV[8])
local first_note = 9 + tokens
frugal = true

local function unpark(new)
  for _, task in ipairs(new) do
    local parked = call('SRANDMEMBER', K .. 'parked:' .. task, MOST_UNPARKED)
    load(parked)
    for _, number in ipairs(parked) do
      local job = jobs[number]
      if job and job.at > wall then
        job.at = wall
        zset('due:' .. job.queue, number, wall)
        touch(job)
        news.work = true
      end
    end
  end
end

local function present()
  if not started then
    for _, key in ipairs({'worker', 'knows', 'wanted'}) do hset(key, worker, false) end
    return
  end
  local known, new = {}, {}
  local before = call('HGET', K .. 'knows', worker)
  -- For a minute anew: workers that do not know a task may be quicker to take its jobs.
  local fresh = wall < started + FRESH
  if before ~= tasks or fresh then
    for _, task in ipairs(before and not fresh and cmsgpack.unpack(before) or {}) do
      known[task] = true
    end
    for _, task in ipairs(cmsgpack.unpack(tasks)) do
      if not known[task] then new[#new + 1] = task end
    end
    hset('knows', worker, tasks)
    unpark(new)
  end
  hset('worker', worker, pack('<dd', lease_now + lease, wall) .. presence)
end

-- What is wanted of this worker, and not of one that had its id before.
local function wanted()
  local told = started and call('HGET', K .. 'wanted', worker)
  if not told then return '' end
  if parse('<d', told) ~= started then
    hset('wanted', worker, false)
    return ''
  end
  return sub(told, 9)
end

local function renew()
  local lost = {}
  for i = 9, 8 + tokens do
    local grant = grant_of(ARGV[i])
    if not grant or grant.lost == 1 then
      lost[#lost + 1] = ARGV[i]
    elseif grant.left > 0 then
      grant.expires = lease_now + lease
      grant.changed = true
    end
  end
  return lost
end

local function cancels()
  local asked, found = call('SMEMBERS', K .. 'asked'), {}
  local mine = {}
  for i = 9, 8 + tokens do mine[ARGV[i]] = true end
  table.sort(asked)
  for i, row in ipairs(read_many(K .. 'at', asked)) do
    if row and mine[sub(row, 23, 30)] then found[#found + 1] = asked[i] end
  end
  return found
end

local function are_last(all, lines)
  local before = #all - #lines
  for i, line in ipairs(lines) do
    if all[before + i] ~= line then return false end
  end
  return true
end

local function write_log(number, lines)
  local all = call('LRANGE', K .. 'log:' .. number, 0, -1)
  if are_last(all, lines) then return end -- the answer to the same call was lost
  for _, line in ipairs(lines) do all[#all + 1] = line end
  local size, kept = 0, 0
  for i = #all, 1, -1 do
    size = size + #all[i] - 12
    if kept == LOG_LINES or size > LOG_SIZE then break end
    kept = kept + 1
  end
  write_later('RPUSH', 'log:' .. number, lines)
  if kept < #all then
    write_later('LTRIM', 'log:' .. number, kept > 0 and {-kept, -1} or {1, 0})
  end
end

local function note()
  local numbers, logs = {}, {}
  for i = first_note, #ARGV, 5 do numbers[#numbers + 1] = ARGV[i] end
  local rows = read_many(K .. 'at', numbers)
  for i, number in ipairs(numbers) do
    local at, row = first_note + 5 * (i - 1), rows[i]
    if row and byte(row, 1) == RUNNING and sub(row, 23, 30) == ARGV[at + 1] then
      if ARGV[at + 4] ~= '' then
        hset('progress', number, ARGV[at + 4] .. ARGV[at + 3])
      else
        logs[number] = logs[number] or {}
        table.insert(logs[number], pack('<d', tonumber(ARGV[at + 2])) .. sub(row, 7, 10) .. ARGV[at + 3])
      end
    end
  end
  for number, lines in pairs(logs) do write_log(number, lines) end
end

local function paused()
  local found = {}
  for _, name in ipairs(all_queues()) do
    if queues[name].paused == 1 then found[#found + 1] = name end
  end
  return found
end

present()
local lost, asked, told = renew(), cancels(), wanted()
note()
local closed = paused()
commit()
return answer({lost, asked, closed, told})
