-- What is said on topics, for the scripts about it. `post` holds what was said by its number,
-- `post:at` when, and the weight of all posts up to that one. The numbers of those that are kept go
-- from `posts:first` to `posts:last` without a gap.

local POST = '<dd'
local EVERY = 100

local function post_meter()
  local meter = call('HMGET', K .. 'meta', 'posts:last', 'posts:first', 'posts:weight')
  return tonumber(meter[1] or '0'), tonumber(meter[2] or '1'), tonumber(meter[3] or '0')
end

-- From the oldest on, those whose time has come: a step. How many.
local function prune_posts(kept, most, limit)
  local last, first, weight = post_meter()
  local numbers = {}
  for number = first, min(last, first + limit - 1) do numbers[#numbers + 1] = decimal(number) end
  local n = 0
  for i, row in ipairs(read_many(K .. 'post:at', numbers)) do
    local at, upto = 0, 0
    if row then at, upto = parse(POST, row) end
    if at > wall - kept and upto > weight - most then break end
    hset('post', numbers[i], false)
    hset('post:at', numbers[i], false)
    n = i
  end
  if n == 0 then return 0 end
  hset('meta', 'posts:first', decimal(first + n))
  commit()
  return n
end
