-- All quarantines. KEYS: 2 all of them.
local lib = library()
if lib.lost() then return lib.answer('LOST') end
local found, all = {}, call('HGETALL', KEYS[2])
for i = 2, #all, 2 do
  if sub(all[i], 1, 1) == '{' then found[#found + 1] = all[i] end
end
return lib.answer('OK', found)
