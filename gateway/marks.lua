-- Marks commands as accepted, where nothing is known of them yet: an outcome is never overwritten.
-- KEYS[i]: the command's hash; ARGV[1]: seconds it lasts; ARGV[2i]: actor; ARGV[2i+1]: the mark.
for i = 1, #KEYS do
  if redis.call('HSETNX', KEYS[i], ARGV[2 * i], ARGV[2 * i + 1]) == 1 then
    redis.call('EXPIRE', KEYS[i], ARGV[1])
  end
end
return #KEYS
