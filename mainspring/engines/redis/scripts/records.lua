-- Jobs as they stand. ARGV: the clocks, 'id' or 'number', then ids or numbers. Answers for each that
-- is there: number, body, row, result, progress, moment of expiry, last error, worker.

local numbers = arguments_from(4)
if ARGV[3] == 'id' then numbers = read_many(K .. 'id', numbers) end
local there = {}
for i = 1, #ARGV - 3 do if numbers[i] then there[#there + 1] = numbers[i] end end

local bodies, rows = read_many(K .. 'body', there), read_many(K .. 'at', there)
local results, progress = read_many(K .. 'result', there), read_many(K .. 'progress', there)
local mortal, found = read_many(K .. 'mortal', there), {}
for i, number in ipairs(there) do
  local row = rows[i]
  local failed = row and has(byte(row, 4), ERRED) and call('LINDEX', K .. 'errors:' .. number, -1)
  local grant = row and byte(row, 1) == RUNNING and grant_of(sub(row, 23, 30))
  found[i] = {number, bodies[i], row, results[i], progress[i], mortal[i], failed or false,
    grant and grant.worker or false}
end
return found
