-- Keeps the outcomes of one batch of commands and tells those who wait for them.
-- KEYS: the hashes of n commands, then the claims of ids that were used for another command than the one they belong to.
-- ARGV: outcomes channel, notices (JSON array), appended channel or '', n, per hash: actor, value, seconds, per claim: fingerprint, seconds.
-- Where several callers used one id on a stream, the hash lives as long as the one that is kept longest.
local hashes = tonumber(ARGV[4])
for i = 1, hashes do
  local at = 3 * i + 2
  local seconds = tonumber(ARGV[at + 2])
  local known = redis.call('HGET', KEYS[i], ARGV[at])
  -- A failure never stands over an applied or rejected outcome: redriven, a command can only gain one.
  if not (known and string.sub(ARGV[at + 1], 1, 9) == '["failed"' and string.match(known, '^%["[ar]')) then
    redis.call('HSET', KEYS[i], ARGV[at], ARGV[at + 1])
  end
  if redis.call('HLEN', KEYS[i]) > 1 then
    seconds = math.max(seconds, redis.call('TTL', KEYS[i]))
  end
  redis.call('EXPIRE', KEYS[i], seconds)
end
for i = hashes + 1, #KEYS do
  local at = 3 * hashes + 5 + 2 * (i - hashes - 1)
  redis.call('SET', KEYS[i], ARGV[at], 'EX', ARGV[at + 1])
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
if ARGV[3] ~= '' then
  redis.call('PUBLISH', ARGV[3], '1')
end
return #KEYS
