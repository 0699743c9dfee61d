-- Uses up an assertion. KEYS: 2 the replay memory of its minute. ARGV: 2 digest, 3 seconds, 4 since when it is usable, 5 now.
local lib = library()
if lib.lost() then return lib.answer('LOST') end
local no = lib.unspendable(KEYS[2], ARGV[2], ARGV[4])
if no then return lib.answer(no, memory) end
lib.remember(KEYS[2], ARGV[2], ARGV[3], ARGV[5])
return lib.answer('OK')
