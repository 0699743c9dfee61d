-- Publishes a key. KEYS: 2 the key, 3 the names of all. ARGV: 2 epoch, 3 kid, 4 the value, 5 seconds.
if lost() then return answer('LOST') end
if epoch ~= ARGV[2] then return answer('EPOCH') end
if redis.call('HEXISTS', KEYS[1], 'k:' .. ARGV[3]) == 1 then return answer('KEY') end
for _, kid in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  if redis.call('EXISTS', 'jitney:{keys}:k:' .. kid) == 0 then redis.call('SREM', KEYS[3], kid) end
end
redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[5])
redis.call('SADD', KEYS[3], ARGV[3])
library().keep(KEYS[3], ARGV[5])
redis.call('PUBLISH', 'jitney:moved', pos)
return answer('OK')
