-- Uses up an assertion. KEYS: 2 the replay memory of its minute. ARGV: 2 digest, 3 seconds, 4 since when it is usable, 5 now.
if lost() then return answer('LOST') end
local lib = library()
local no = lib.unspendable(KEYS[2], ARGV[2], ARGV[4])
if no then return answer(no, memory) end
lib.remember(KEYS[2], ARGV[2], ARGV[3], ARGV[5])
return answer('OK')
