-- Everything that `check` compares, in one moment. ARGV: the clocks.

local heads, kids, fell, parents = {}, {}, {}, {}
local cursor, seen = '0', {}
repeat
  local page = call('HSCAN', K .. 'body', cursor, 'COUNT', FEW_BODIES)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    local number, body = page[2][i], page[2][i + 1]
    if not seen[number] then
      local job = {n = number}
      seen[number] = true
      read_head(job, body)
      heads[#heads + 1] = {number, sub(body, 1, job.sections - 1),
        job.priority ~= 0 and sub(body, -8) or NOBODY}
    end
  end
until cursor == '0'

local at = call('HGETALL', K .. 'at')
for i = 1, #at, 2 do
  local number, row = at[i], at[i + 1]
  if has(byte(row, 4), PARENT) then
    kids[#kids + 1] = {number, call('ZRANGE', K .. 'kids:' .. number, 0, -1, 'WITHSCORES')}
    fell[#fell + 1] = {number, call('SUNION', K .. 'fell:' .. number, K .. 'stay:' .. number)}
  end
  if has(byte(row, 3), EDGES) then
    parents[#parents + 1] = {number, call('SMEMBERS', K .. 'parents:' .. number)}
  end
end

local lanes = {}
for _, name in ipairs(all_queues()) do
  local function ranked(key) return call('ZRANGE', K .. key .. name, 0, -1, 'WITHSCORES') end
  local function listed(state) return call('LRANGE', K .. 'ended:' .. state .. ':' .. name, 0, -1) end
  lanes[#lanes + 1] = {name, ranked('ready:'), ranked('alone:'), ranked('due:'), ranked('later:'),
    ranked('expiry:'), listed(COMPLETED), listed(FAILED), listed(CANCELLED)}
end

local cells, seen_cells = {}, {}
repeat
  local page = call('HSCAN', K .. 'kv', cursor, 'COUNT', FEW_BODIES)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    if not seen_cells[page[2][i]] then
      seen_cells[page[2][i]] = true
      cells[#cells + 1] = page[2][i]
      cells[#cells + 1] = sub(page[2][i + 1], 1, 16)
    end
  end
until cursor == '0'

local function all(key) return call('HGETALL', K .. key) end
local function ranked(key) return call('ZRANGE', K .. key, 0, -1, 'WITHSCORES') end
return {
  heads, at, lanes, kids, fell, parents, all('id'), all('count'), all('span'), all('grant'),
  all('holds'), ranked('leases'), ranked('settled'), ranked('kept'), call('SMEMBERS', K .. 'blocked'),
  call('SMEMBERS', K .. 'asked'), call('SMEMBERS', K .. 'releases'), call('SMEMBERS', K .. 'returns'),
  all('unique'), all('mortal'),
  call('HKEYS', K .. 'policy'), call('GET', K .. 'number') or '0', call('HKEYS', K .. 'result'),
  call('HKEYS', K .. 'progress'), cells, ranked('kv:keys'), ranked('kv:due'),
  call('HGET', K .. 'meta', 'kv') or '0', all('post:at'), call('HKEYS', K .. 'post'),
  call('HMGET', K .. 'meta', 'posts:last', 'posts:first', 'posts:weight')
}
