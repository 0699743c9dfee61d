-- Uses up an assertion. KEYS: 2 the replay memory of its minute. ARGV: 5 digest, 6 seconds, 7 since when it is usable.
if lost() then return answer('LOST') end
local no = unspendable(KEYS[2], ARGV[5], ARGV[7])
if no then return answer(no, memory) end
remember(KEYS[2], ARGV[5], ARGV[6])
return answer('OK')
