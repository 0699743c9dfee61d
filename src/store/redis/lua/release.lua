-- Lifts a quarantine. KEYS: 2 the quarantine, 3 all of them. ARGV: 5 workload. The generation stays in its place: in this
-- epoch no broker restores it, also where it was not there yet.
if lost() then return answer('LOST') end
local was = redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[3], ARGV[5], '-' .. gen)
return answer('OK', was)
