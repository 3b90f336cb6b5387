-- Have entries stay for so long. ARGV: the clocks, time to live (empty: for good), the keys. Answers
-- 1 for each that was there, else 0.

local keys, touched = arguments_from(4), {}
frugal = true
for i, row in ipairs(read_many(K .. 'kv', keys)) do
  local cell = cell_of(row)
  touched[i] = cell and 1 or 0
  if cell then put_cell(keys[i], cell.version, ends_after(ARGV[3]), cell.value) end
end
commit()
return answer(touched)
