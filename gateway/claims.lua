-- Claims command ids for the payloads they came with first, and tells what became of those that came before.
-- KEYS[2i-1]: the claim; KEYS[2i]: the command's hash. ARGV[1]: seconds a claim lasts; ARGV[2i]: fingerprint; ARGV[2i+1]: actor.
-- Answers four values a command of which something was known, and nothing of the others: its place i, the fingerprint that holds its id
-- now, 1 when it was held before, and what the hash knows, or ''. Most are new, and an answer costs the gateway more than a question.
local answers = {}
for i = 1, #KEYS, 2 do
  local holder, held = redis.call('GET', KEYS[i]), 1
  if not holder then
    redis.call('SET', KEYS[i], ARGV[i + 1], 'EX', ARGV[1])
    holder, held = ARGV[i + 1], 0
  end
  local known = redis.call('HGET', KEYS[i + 1], ARGV[i + 2]) or ''
  if held == 1 or known ~= '' then
    answers[#answers + 1] = (i + 1) / 2
    answers[#answers + 1] = holder
    answers[#answers + 1] = held
    answers[#answers + 1] = known
  end
end
return answers
