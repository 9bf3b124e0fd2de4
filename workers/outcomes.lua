-- Keeps the outcomes of one batch of commands and tells those who wait for them.
-- KEYS[i]: the command's hash. ARGV: outcomes channel, notices (JSON array), appended channel or '', then per key: actor, value, seconds.
-- Where several callers used one id on a stream, the hash lives as long as the one that is kept longest.
for i = 1, #KEYS do
  local at = 3 * i + 1
  local seconds = tonumber(ARGV[at + 2])
  redis.call('HSET', KEYS[i], ARGV[at], ARGV[at + 1])
  if redis.call('HLEN', KEYS[i]) > 1 then
    seconds = math.max(seconds, redis.call('TTL', KEYS[i]))
  end
  redis.call('EXPIRE', KEYS[i], seconds)
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
if ARGV[3] ~= '' then
  redis.call('PUBLISH', ARGV[3], '1')
end
return #KEYS
