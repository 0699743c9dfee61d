-- Publishes a key. KEYS: 2 the key, 3 the names of all. ARGV: 5 epoch, 6 kid, 7 the value, 8 seconds.
if lost() then return answer('LOST') end
if epoch ~= ARGV[5] then return answer('EPOCH') end
if redis.call('HEXISTS', KEYS[1], 'k:' .. ARGV[6]) == 1 then return answer('KEY') end
for _, kid in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  if redis.call('EXISTS', 'jitney:{keys}:k:' .. kid) == 0 then redis.call('SREM', KEYS[3], kid) end
end
redis.call('SET', KEYS[2], ARGV[7], 'EX', ARGV[8])
redis.call('SADD', KEYS[3], ARGV[6])
if redis.call('TTL', KEYS[3]) < tonumber(ARGV[8]) then redis.call('EXPIRE', KEYS[3], ARGV[8]) end
redis.call('PUBLISH', 'jitney:moved', pos)
return answer('OK')
