-- Claims command ids for the payloads they came with first, and tells what became of those that came before.
-- KEYS[2i-1]: the claim; KEYS[2i]: the command's hash. ARGV[1]: seconds a claim lasts; ARGV[2i]: fingerprint; ARGV[2i+1]: actor.
-- Answers three values a command: the fingerprint that holds its id now, 1 when it was held before, and what the hash knows, or ''.
local answers = {}
for i = 1, #KEYS, 2 do
  local held = redis.call('GET', KEYS[i])
  if held then
    answers[#answers + 1] = held
    answers[#answers + 1] = 1
  else
    redis.call('SET', KEYS[i], ARGV[i + 1], 'EX', ARGV[1])
    answers[#answers + 1] = ARGV[i + 1]
    answers[#answers + 1] = 0
  end
  answers[#answers + 1] = redis.call('HGET', KEYS[i + 1], ARGV[i + 2]) or ''
end
return answers
