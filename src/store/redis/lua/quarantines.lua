-- All quarantines. KEYS: 2 all of them.
if lost() then return answer('LOST') end
local found, all = {}, redis.call('HGETALL', KEYS[2])
for i = 2, #all, 2 do
  if string.sub(all[i], 1, 1) == '{' then found[#found + 1] = all[i] end
end
return answer('OK', found)
