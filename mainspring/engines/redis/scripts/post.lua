-- Post. ARGV: the clocks, how long posts are kept, the most they may weigh, for each its weight and
-- what is kept of it. Answers the number before the first of them.

local n = (#ARGV - 4) / 2
local last, _, weight = post_meter()
if floor((last + n) / EVERY) > floor(last / EVERY) then
  prune_posts(tonumber(ARGV[3]), tonumber(ARGV[4]), 2 * max(EVERY, n))
end
for i = 1, n do
  weight = weight + tonumber(ARGV[3 + 2 * i])
  hset('post', decimal(last + i), ARGV[4 + 2 * i])
  hset('post:at', decimal(last + i), pack(POST, wall, weight))
end
hset('meta', 'posts:last', decimal(last + n))
hset('meta', 'posts:weight', decimal(weight))
news.posts = true
commit()
return answer(decimal(last))
