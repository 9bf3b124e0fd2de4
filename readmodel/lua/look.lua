-- A query's look at one key. Answers the value, or, on a miss, 1 when the fill lease is now the caller's, 0 when another has it,
-- and -1 when nobody can take it: Redis is full and evicts nothing, so that a fill could not land either. One lease is the one
-- flight of a key across all gateways; without its nonce nobody may fill.
-- KEYS: value. ARGV: nonce, the lease's life in ms.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' then
  return value
end
local leased = redis.pcall('SET', KEYS[1] .. ':lease', ARGV[1], 'NX', 'PX', ARGV[2])
if not leased then
  return 0
end
return leased.ok and 1 or -1
