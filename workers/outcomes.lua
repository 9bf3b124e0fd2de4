-- Keeps the outcomes of one batch of commands and tells those who wait for them.
-- KEYS[i]: the command's hash. ARGV: outcomes channel, notices (JSON array), appended channel or '', then per key: actor, value, seconds.
for i = 1, #KEYS do
  local at = 3 * i + 1
  redis.call('HSET', KEYS[i], ARGV[at], ARGV[at + 1])
  redis.call('EXPIRE', KEYS[i], ARGV[at + 2])
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
if ARGV[3] ~= '' then
  redis.call('PUBLISH', ARGV[3], '1')
end
return #KEYS
