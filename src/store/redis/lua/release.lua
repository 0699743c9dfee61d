-- Lifts a quarantine. KEYS: 2 the quarantine, 3 all of them. ARGV: 2 workload. The generation stays in its place: in this
-- epoch no broker restores it, also where it was not there yet.
local lib = library()
if lib.lost() then return lib.answer('LOST') end
-- In this order, so that half of it lets nobody out.
call('HSET', KEYS[3], ARGV[2], '-' .. gen)
local was = call('DEL', KEYS[2])
return lib.answer('OK', was)
