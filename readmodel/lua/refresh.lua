-- The projector's refresh of many keys: over what is held and older, or where the lease is still its own. A key that was
-- evicted meanwhile stays away: whoever misses it now reads PostgreSQL, and this value may be old by then. Where a full Redis
-- that evicts nothing does not take the new value, the old one goes.
-- KEYS: values. ARGV: nonce, then value and ttl in ms for each key. Answers how many landed.
local function version(head)
  return type(head) == 'string' and tonumber(string.match(head, '^{"format":1,"version":(%d+),')) or -1
end
local landed = 0
for place, key in ipairs(KEYS) do
  local lease, value, ttl = key .. ':lease', ARGV[place * 2], ARGV[place * 2 + 1]
  local ours = redis.call('GET', lease) == ARGV[1]
  if ours then
    redis.call('DEL', lease)
  end
  if ours or redis.call('EXISTS', key) == 1 then
    if version(redis.pcall('GETRANGE', key, 0, 63)) < version(string.sub(value, 1, 64)) then
      if redis.pcall('SET', key, value, 'PX', ttl).ok then
        landed = landed + 1
      else
        redis.call('DEL', key)
      end
    end
  end
end
return landed
