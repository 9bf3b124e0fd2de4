-- Claims command ids for the payloads they came with first. KEYS[i]: the claim; ARGV[1]: seconds it lasts; ARGV[i + 1]: fingerprint.
-- Answers the fingerprint that holds each id now.
local holders = {}
for i = 1, #KEYS do
  local held = redis.call('GET', KEYS[i])
  if not held then
    redis.call('SET', KEYS[i], ARGV[i + 1], 'EX', ARGV[1])
    held = ARGV[i + 1]
  end
  holders[i] = held
end
return holders
