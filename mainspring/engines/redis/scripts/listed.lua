-- A list that is kept of one job. ARGV: the clocks, its name (errors or log), id, how many of the
-- newest.

local number = call('HGET', K .. 'id', ARGV[4])
if not number then return {} end
return call('LRANGE', K .. ARGV[3] .. ':' .. number, -tonumber(ARGV[5]), -1)
