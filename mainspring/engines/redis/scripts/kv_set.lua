-- Write entries, all or none. ARGV: the clocks, then for each its key, value, time to live (empty:
-- none) and expected version (empty: any). Answers 0 and their versions, or the place of the one that
-- was refused and the version found there.

local keys = {}
for i = 3, #ARGV, 4 do keys[#keys + 1] = ARGV[i] end
local ruled = false
for i = 6, #ARGV, 4 do ruled = ruled or ARGV[i] ~= '' end
if ruled then
  for i, row in ipairs(read_many(K .. 'kv', keys)) do
    local cell, expected = cell_of(row), tonumber(ARGV[4 * i + 2])
    local version = cell and cell.version or 0
    if expected and expected ~= version then return {i, decimal(version)} end
  end
end
local last, told = draw_versions(#keys), {0}
for i, key in ipairs(keys) do
  put_cell(key, last + i, ends_after(ARGV[4 * i + 1]), ARGV[4 * i])
  told[i + 1] = decimal(last + i)
end
commit()
return answer(told)
