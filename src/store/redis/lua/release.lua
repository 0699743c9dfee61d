-- Lifts a quarantine. KEYS: 2 the quarantine, 3 all of them. ARGV: 2 workload. The generation stays in its place: in this
-- epoch no broker restores it, also where it was not there yet.
if lost() then return answer('LOST') end
local was = redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[3], ARGV[2], '-' .. gen)
return answer('OK', was)
