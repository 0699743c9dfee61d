-- Lifts a quarantine. KEYS: 2 the quarantine, 3 all of them. ARGV: 2 workload. The generation stays in its place: in this
-- epoch no broker restores it, also where it was not there yet.
local lib = library()
if lib.lost() then return lib.answer('LOST') end
local was = call('DEL', KEYS[2])
call('HSET', KEYS[3], ARGV[2], '-' .. gen)
return lib.answer('OK', was)
