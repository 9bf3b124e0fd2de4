-- A query's fill of one key: only under its own lease (a refresh, an eviction or a flush has voided it else), and never
-- over anything as new. Answers 1 when it landed; a full Redis that evicts nothing takes no fill.
-- KEYS: value. ARGV: nonce, value, ttl in ms.
local function version(head)
  return type(head) == 'string' and tonumber(string.match(head, '^{"format":1,"version":(%d+),')) or -1
end
local lease = KEYS[1] .. ':lease'
if redis.call('GET', lease) ~= ARGV[1] then
  return 0
end
redis.call('DEL', lease)
if version(redis.pcall('GETRANGE', KEYS[1], 0, 63)) >= version(string.sub(ARGV[2], 1, 64)) then
  return 0
end
return redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]).ok and 1 or 0
