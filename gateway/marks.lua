-- Marks commands as accepted, where nothing is known of them yet: an outcome is never overwritten.
-- KEYS[i]: the command's hash; ARGV[1]: the mark; ARGV[2]: seconds it lasts; ARGV[i + 2]: actor.
for i = 1, #KEYS do
  if redis.call('HSETNX', KEYS[i], ARGV[i + 2], ARGV[1]) == 1 then
    redis.call('EXPIRE', KEYS[i], ARGV[2])
  end
end
return #KEYS
