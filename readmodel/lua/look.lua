-- A query's look at one key. Answers the value, or, on a miss, 1 when the fill lease is now the caller's and 0 when
-- another has it. One lease is the one flight of a key across all gateways; without its nonce nobody may fill.
-- KEYS: value. ARGV: nonce, the lease's life in ms.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' then
  return value
end
if redis.call('SET', KEYS[1] .. ':lease', ARGV[1], 'NX', 'PX', ARGV[2]) then
  return 1
end
return 0
