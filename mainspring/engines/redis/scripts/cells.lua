-- Entries of the key-value store, for the scripts of its verbs. `kv` holds the version, the end (0:
-- none) and the value of each key, `kv:keys` all keys in their order, `kv:due` those that end.

local CELL, CELL_SIZE = '<dd', 16
local LATEST = 5680281600000000

-- An entry that is there; nil for one whose time has come.
local function cell_of(row)
  if not row then return nil end
  local version, ends = parse(CELL, row)
  if ends ~= 0 and ends <= wall then return nil end
  return {version = version, ends = ends, value = sub(row, CELL_SIZE + 1)}
end

local function ends_after(ttl) return ttl == '' and 0 or min(wall + tonumber(ttl), LATEST) end

local function put_cell(key, version, ends, value)
  hset('kv', key, pack(CELL, version, ends) .. value)
  zset('kv:keys', key, 0)
  zset('kv:due', key, ends > 0 and ends)
end

local function drop_cell(key)
  hset('kv', key, false)
  zset('kv:keys', key, false)
  zset('kv:due', key, false)
end

-- So many versions more: what the last one before them was.
local function draw_versions(n)
  local last = tonumber(call('HGET', K .. 'meta', 'kv') or '0')
  hset('meta', 'kv', decimal(last + n))
  return last
end
