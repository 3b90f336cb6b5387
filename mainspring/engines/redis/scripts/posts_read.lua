-- Posts. ARGV: the clocks, behind which number, how many. Answers the last and first number, then for
-- each post its number, when it was, and what is kept of it.

local last, first = post_meter()
local told, numbers = {decimal(last), decimal(first)}, {}
local begun = max(tonumber(ARGV[3]), first - 1)
for number = begun + 1, min(last, begun + tonumber(ARGV[4])) do
  numbers[#numbers + 1] = decimal(number)
end
local times, posts = read_many(K .. 'post:at', numbers), read_many(K .. 'post', numbers)
for i, number in ipairs(numbers) do
  if posts[i] and times[i] then
    told[#told + 1] = number
    told[#told + 1] = sub(times[i], 1, 8)
    told[#told + 1] = posts[i]
  end
end
return told
