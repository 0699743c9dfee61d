-- Reads the head, and whether the writes named by KEYS[2..], acknowledged lately, are still there: keys, or where ARGV[2..]
-- names a part, that part of them; and where that is a lease, the marks of its shard. What was overwritten with something
-- else is not lost: whoever reads it is told. Nor may an end have been half written. Says which list of windows has one
-- that is gone, if that is it.
local lib = library()
if lib.lost() or call('SCARD', lib.open) > 0 then return lib.answer('LOST') end
local looked, time = {}, redis.pcall('TIME')
for i = 2, #KEYS do
  local there
  if ARGV[i] == '' then there = call('EXISTS', KEYS[i]) else there = redis.pcall('HEXISTS', KEYS[i], ARGV[i]) end
  if there == 0 then return lib.answer('LOST') end
  local shard = string.match(KEYS[i], '^(.*:)l:%d+$')
  -- Who may not ask for the time cannot tell what is lost from what is past.
  if shard and not looked[shard] and not time.err then
    looked[shard] = true
    if call('EXISTS', shard .. 'm:all') == 0 then return lib.answer('LOST') end
    for _, window in ipairs(redis.pcall('ZRANGEBYSCORE', shard .. 'm:all', math.floor(tonumber(time[1]) / 60), '+inf')) do
      if window ~= 'lost' and call('EXISTS', shard .. 'm:' .. window) == 0 then
        return lib.answer('LOST', {shard .. 'm:all', window})
      end
    end
  end
end
return lib.answer('OK')
