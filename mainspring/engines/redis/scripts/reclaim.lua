-- Take over what expired grants hold. ARGV: the clocks, token, worker, lease, limit.

local token, worker = ARGV[3], ARGV[4]
local lease, limit = tonumber(ARGV[5]), tonumber(ARGV[6])
frugal = true

local function take_over()
  local taken, at = {}, {}
  for _, old in ipairs(call('ZRANGEBYSCORE', K .. 'leases', '-inf', decimal(lease_now))) do
    if #taken >= limit then break end
    local held, n = held_under(old), 0
    for i, number in ipairs(held[1]) do
      if #taken < limit then
        local row = held[2][i]
        taken[#taken + 1] = number
        at[#at + 1] = number
        at[#at + 1] = sub(row, 1, 22) .. token .. sub(row, 31)
        n = n + 1
      end
    end
    give_back(old, n)
    local grant = grant_of(old)
    if grant and n > 0 then grant.lost = 1 end
    -- What it counts beyond what it holds would keep it among the expired for ever.
    if grant and n == #held[1] then grant.left = 0 end
  end
  write_later('HSET', 'at', at)
  if #taken > 0 then new_grant(token, worker, lease, taken) end
  commit()
end

if not grant_of(token) then take_over() end
return answer(held_under(token))
