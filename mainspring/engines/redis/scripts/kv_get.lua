-- Entries. ARGV: the clocks, the keys. Answers each as it is kept, false where there is none.

local rows = read_many(K .. 'kv', arguments_from(3))
for i, row in ipairs(rows) do rows[i] = cell_of(row) and row or false end
return rows
