-- Uses up an assertion. KEYS: 2 the replay memory of its minute. ARGV: 5 digest, 6 seconds.
if lost() then return answer('LOST') end
if redis.call('HEXISTS', KEYS[2], ARGV[5]) == 1 then return answer('REPLAYED') end
remember(KEYS[2], ARGV[5], ARGV[6])
return answer('OK')
