-- Marks commands as accepted, where nothing is known of them yet: an outcome is never overwritten.
-- Then tells whoever reads the queue that they are there.
-- KEYS[i]: the command's hash; ARGV[1]: accepted channel; ARGV[2]: seconds a mark lasts; ARGV[2i+1]: actor; ARGV[2i+2]: the mark, or the
-- only two for all of them.
for i = 1, #KEYS do
  local at = #ARGV == 4 and 3 or 2 * i + 1
  if redis.call('HSETNX', KEYS[i], ARGV[at], ARGV[at + 1]) == 1 then
    redis.call('EXPIRE', KEYS[i], ARGV[2])
  end
end
redis.call('PUBLISH', ARGV[1], '1')
return #KEYS
