-- What the scripts that store new jobs share. ARGV: the clocks, how many policies, a list of
-- (queue, by hand) as msgpack, the policies (id, body), then the jobs.

local policies = tonumber(ARGV[3])
local wanted = cmsgpack.unpack(ARGV[4])
local first_job = 5 + 2 * policies

local function stage_policies()
  local ids = {}
  for i = 1, policies do ids[i] = ARGV[3 + 2 * i] end
  local there = read_many(K .. 'policy', ids)
  for i, id in ipairs(ids) do
    if not there[i] then hset('policy', id, ARGV[4 + 2 * i]) end
  end
end

local function stage_queue(name, by_hand)
  local queue = queue_row(name)
  if queue.new or (by_hand and queue.by_hand == 0) then
    if by_hand then queue.by_hand = 1 end
    write_queue(name, queue)
  end
end

local function stage_span(first, n)
  local last = first + n - 1
  for segment = floor(first / SEGMENT), floor(last / SEGMENT) do
    local from, to = max(first, segment * SEGMENT), min(last, segment * SEGMENT + SEGMENT - 1)
    local field = decimal(segment)
    spans[field] = (spans[field] or 0) + to - from + 1
  end
end
