-- Marks commands as accepted, where nothing is known of them yet: an outcome is never overwritten.
-- KEYS[i]: the command's hash; ARGV[1]: seconds it lasts; ARGV[2i]: actor; ARGV[2i+1]: the mark, or the only two for all of them.
for i = 1, #KEYS do
  local at = #ARGV == 3 and 2 or 2 * i
  if redis.call('HSETNX', KEYS[i], ARGV[at], ARGV[at + 1]) == 1 then
    redis.call('EXPIRE', KEYS[i], ARGV[1])
  end
end
return #KEYS
