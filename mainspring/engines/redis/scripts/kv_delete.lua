-- Remove entries. ARGV: the clocks, the keys. Answers how many there were.

local keys, n = arguments_from(3), 0
frugal = true
for i, row in ipairs(read_many(K .. 'kv', keys)) do
  if cell_of(row) then n = n + 1 end
  drop_cell(keys[i])
end
commit()
return answer(n)
