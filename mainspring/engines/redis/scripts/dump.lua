-- Jobs with higher numbers than ARGV[3] as they stand, lowest first, at most ARGV[4]. Answers for
-- each: number, body, row, result, progress, moment of expiry, until when it holds its unique key,
-- errors, log, and what it waits for: (id of the parent, 'met', 'open' or 'broken') pairs.

local after, limit = tonumber(ARGV[3]), tonumber(ARGV[4])

-- Numbers are looked for where there are any.
local function next_numbers()
  local segments, found = {}, {}
  for _, segment in ipairs(call('HKEYS', K .. 'span')) do
    if (tonumber(segment) + 1) * SEGMENT > after + 1 then segments[#segments + 1] = tonumber(segment) end
  end
  table.sort(segments)
  for _, segment in ipairs(segments) do
    local numbers = {}
    for number = max(after + 1, segment * SEGMENT), segment * SEGMENT + SEGMENT - 1 do
      numbers[#numbers + 1] = format('%014.0f', number)
    end
    for i, body in ipairs(read_many(K .. 'body', numbers)) do
      if body then
        found[#found + 1] = {numbers[i], body}
        if #found == limit then return found end
      end
    end
  end
  return found
end

local function standing(parent, number)
  for _, key in ipairs({'fell:', 'stay:'}) do
    if call('SISMEMBER', K .. key .. parent, number) == 1 then return 'broken' end
  end
  local waits = call('ZSCORE', K .. 'kids:' .. parent, number)
  return waits and (tonumber(waits) == 0 and 'met' or 'open')
end

local function waits_of(job)
  local told, parents = {}, call('SMEMBERS', K .. 'parents:' .. job.n)
  table.sort(parents)
  load(parents)
  for _, parent in ipairs(parents) do
    local stands = standing(parent, job.n)
    if stands and jobs[parent] then
      told[#told + 1] = jobs[parent].id
      told[#told + 1] = stands
    end
  end
  return told
end

local function until_of(job)
  if not has(job.flags, UNIQUE) then return false end
  local key = extra(job)[X_UNIQUE]
  holder_of(key)
  return keys[key].n == job.n and decimal(keys[key].till) or false
end

local found, numbers, told = next_numbers(), {}, {}
for i, each in ipairs(found) do numbers[i] = each[1] end
load(numbers)
local rows, results = read_many(K .. 'at', numbers), read_many(K .. 'result', numbers)
local progress, mortal = read_many(K .. 'progress', numbers), read_many(K .. 'mortal', numbers)
for i, each in ipairs(found) do
  local number, job = each[1], jobs[each[1]]
  local erred = has(job.bits, ERRED)
  told[i] = {number, each[2], rows[i], results[i], progress[i], mortal[i], until_of(job),
    erred and call('LRANGE', K .. 'errors:' .. number, 0, -1) or {},
    call('LRANGE', K .. 'log:' .. number, 0, -1), has(job.flags, EDGES) and waits_of(job) or {}}
end
return told
