-- The fill leases of many keys at once, to warm them: of those with neither a value nor a lease.
-- KEYS: values. ARGV: the caller's nonce, the lease's life in ms. Answers the places of those that are the caller's, counted from 1.
local found = {}
for place, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 0 then
    local leased = redis.pcall('SET', key .. ':lease', ARGV[1], 'NX', 'PX', ARGV[2])
    if leased and leased.ok then
      found[#found + 1] = place
    end
  end
end
return found
