-- Numbers of jobs that match, highest first. ARGV: the clocks, limit, below which number (empty:
-- from the top), the states as a bit mask, the selection as msgpack: queues, tasks, keys, tags,
-- before, after; then ids, if `by_ids`. Answers the numbers, and where to go on if it stopped early.

local FEW, MOST = 10000, 50000
local limit, below, states = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local told = cmsgpack.unpack(ARGV[6])
local by_ids, before, after = told[1], told[6], told[7]

local function names(list)
  if not list then return nil end
  local found = {}
  for _, name in ipairs(list) do found[name] = true end
  return found
end
local queue_names, task_names = names(told[2]), names(told[3])

local found, looked = {}, 0

local function matches(body, row)
  local state = row and byte(row, 1) or PENDING
  if not has(states, 2 ^ state) then return false end
  local created, _, _, _, _, queue_size, task_size = parse(HEAD, body)
  if before and created >= before or after and created < after then return false end
  if queue_names and not queue_names[sub(body, 41, 40 + queue_size)] then return false end
  return not task_names or task_names[sub(body, 41 + queue_size, 40 + queue_size + task_size)] or false
end

-- Look at these, which are in order; true when there are enough.
local function look(numbers)
  for from = 1, #numbers, FEW_BODIES do
    local part = {unpack(numbers, from, min(from + FEW_BODIES - 1, #numbers))}
    local bodies, rows = read_many(K .. 'body', part), read_many(K .. 'at', part)
    looked = looked + #part
    for i, number in ipairs(part) do
      if bodies[i] and matches(bodies[i], rows[i]) then
        found[#found + 1] = number
        if #found == limit then return true end
      end
    end
  end
  return false
end

local function sorted(set)
  local numbers = {}
  for number in pairs(set) do
    if below == '' or number < below then numbers[#numbers + 1] = number end
  end
  table.sort(numbers, function(a, b) return a > b end)
  return numbers
end

local function union(prefix, values)
  local set = {}
  for _, value in ipairs(values) do
    for _, number in ipairs(call('SMEMBERS', K .. prefix .. value)) do set[number] = true end
  end
  return set
end

local function both(one, other)
  if not one or not other then return one or other end
  local set = {}
  for number in pairs(one) do if other[number] then set[number] = true end end
  return set
end

-- The few jobs of the selected states, from the indexes; nil if they are many.
local function few_by_state()
  local set, amount = {}, 0
  local counted = call('HGETALL', K .. 'count')
  for i = 1, #counted, 2 do
    if has(states, 2 ^ tonumber(sub(counted[i], 1, 1))) then amount = amount + tonumber(counted[i + 1]) end
  end
  if amount > FEW then return nil end
  local function add(list) for _, number in ipairs(list) do set[number] = true end end
  local ended = {}
  for state = COMPLETED, CANCELLED do if has(states, 2 ^ state) then ended[#ended + 1] = state end end
  for _, name in ipairs(all_queues()) do
    for _, state in ipairs(ended) do
      for _, entry in ipairs(call('LRANGE', K .. 'ended:' .. state .. ':' .. name, 0, -1)) do
        set[sub(entry, 1, 14)] = true
      end
    end
    if has(states, 2 ^ PENDING) then
      add(call('ZRANGE', K .. 'ready:' .. name, 0, -1))
      add(call('ZRANGE', K .. 'alone:' .. name, 0, -1))
    end
    if has(states, 2 ^ SCHEDULED) or has(states, 2 ^ RETRYING) then
      add(call('ZRANGE', K .. 'due:' .. name, 0, -1))
    end
  end
  if #ended > 0 then add(call('ZRANGE', K .. 'kept', 0, -1)) end
  if has(states, 2 ^ BLOCKED) then add(call('SMEMBERS', K .. 'blocked')) end
  if has(states, 2 ^ RUNNING) then
    for _, list in ipairs(call('HVALS', K .. 'holds')) do
      for from = 1, #list, 14 do set[sub(list, from, from + 13)] = true end
    end
  end
  return set
end

-- Through all numbers there are, downwards. Where it stopped, if it grew too much for one go.
local function walk()
  local segments = call('HKEYS', K .. 'span')
  table.sort(segments, function(a, b) return tonumber(a) > tonumber(b) end)
  local top = below ~= '' and tonumber(below) - 1 or math.huge
  for _, segment in ipairs(segments) do
    local first = tonumber(segment) * SEGMENT
    local from = min(top, first + SEGMENT - 1)
    local numbers = {}
    for number = from, first, -1 do numbers[#numbers + 1] = format('%014.0f', number) end
    if look(numbers) then return '' end
    if looked >= MOST then return format('%014.0f', first) end
  end
  return ''
end

local chosen
if by_ids then
  chosen = {}
  local ids = arguments_from(7)
  local numbers = read_many(K .. 'id', ids)
  for i = 1, #ids do if numbers[i] then chosen[numbers[i]] = true end end
end
if told[4] then chosen = both(chosen, union('key:', told[4])) end
if told[5] then chosen = both(chosen, union('tag:', told[5])) end
if not chosen and states ~= 510 then chosen = few_by_state() end
local go_on = ''
if chosen then look(sorted(chosen)) else go_on = walk() end
return {found, go_on}
