-- Reads the head, and whether the writes named by KEYS[2..], acknowledged lately, are still there: keys, or where ARGV[2..]
-- names a part, that part of them. What was overwritten with something else is not lost: whoever reads it is told.
if lost() then return answer('LOST') end
for i = 2, #KEYS do
  local there
  if ARGV[i] == '' then there = redis.call('EXISTS', KEYS[i]) else there = redis.pcall('HEXISTS', KEYS[i], ARGV[i]) end
  if there == 0 then return answer('LOST') end
end
return answer('OK')
