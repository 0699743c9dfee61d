-- The keys of this epoch. KEYS: 2 the names of all.
if lost() then return answer('LOST') end
local found = {}
for _, kid in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local value = redis.call('GET', 'jitney:{keys}:k:' .. kid)
  if value and string.sub(value, 1, 16) == epoch then found[#found + 1] = string.sub(value, 17) end
end
return answer('OK', found)
