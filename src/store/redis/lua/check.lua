-- Reads the head, and whether the writes named by KEYS[2..], acknowledged lately, are still there.
if lost() then return answer('LOST') end
if #KEYS > 1 and redis.call('EXISTS', unpack(KEYS, 2)) < #KEYS - 1 then return answer('LOST') end
return answer('OK')
