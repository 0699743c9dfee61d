-- Publishes a key. KEYS: 2 the key, 3 the names of all. ARGV: 2 epoch, 3 kid, 4 the value, 5 seconds.
local lib = library()
if lib.lost() then return lib.answer('LOST') end
if epoch ~= ARGV[2] then return lib.answer('EPOCH') end
if call('HEXISTS', KEYS[1], 'k:' .. ARGV[3]) == 1 then return lib.answer('KEY') end
for _, kid in ipairs(call('SMEMBERS', KEYS[3])) do
  if call('EXISTS', 'jitney:{keys}:k:' .. kid) == 0 then call('SREM', KEYS[3], kid) end
end
call('SET', KEYS[2], ARGV[4], 'EX', ARGV[5])
call('SADD', KEYS[3], ARGV[3])
lib.keep(KEYS[3], ARGV[5])
call('PUBLISH', 'jitney:moved', pos)
return lib.answer('OK')
