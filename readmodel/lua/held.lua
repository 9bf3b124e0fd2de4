-- Which of many keys somebody may be looking at: those with a value, and those with a fill lease out. A lease goes over to
-- the caller: the fill it was taken for read PostgreSQL at a time nobody knows, and can no longer land. In a full Redis that
-- evicts nothing a lease cannot be written over, so there it is voided: then nobody fills.
-- KEYS: values. ARGV: the caller's nonce, the lease's life in ms. Answers their places, counted from 1.
local found = {}
for place, key in ipairs(KEYS) do
  local lease = key .. ':lease'
  local leased = redis.call('EXISTS', lease) == 1
  if leased and not redis.pcall('SET', lease, ARGV[1], 'PX', ARGV[2]).ok then
    redis.call('DEL', lease)
    leased = false
  end
  if leased or redis.call('EXISTS', key) == 1 then
    found[#found + 1] = place
  end
end
return found
