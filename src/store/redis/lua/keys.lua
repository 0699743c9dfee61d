-- The keys of this epoch. KEYS: 2 the names of all.
local lib = library()
if lib.lost() then return lib.answer('LOST') end
local found = {}
for _, kid in ipairs(call('SMEMBERS', KEYS[2])) do
  local value = call('GET', 'jitney:{keys}:k:' .. kid)
  if value and sub(value, 1, 16) == epoch then found[#found + 1] = sub(value, 17) end
end
return lib.answer('OK', found)
