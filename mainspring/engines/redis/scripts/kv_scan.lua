-- A page of keys and entries. ARGV: the clocks, from where, up to where, how many keys to look at.
-- Answers the last key looked at, empty if there are no more, then key and entry of each.

local limit = tonumber(ARGV[5])
local keys = call('ZRANGEBYLEX', K .. 'kv:keys', ARGV[3], ARGV[4], 'LIMIT', 0, limit)
local found = {#keys == limit and keys[limit] or ''}
for i, row in ipairs(read_many(K .. 'kv', keys)) do
  if cell_of(row) then
    found[#found + 1] = keys[i]
    found[#found + 1] = row
  end
end
return found
