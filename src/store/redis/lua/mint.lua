-- Records a lease. KEYS: 2 lease, 3 index of its minute, 4 directory of its minute, 5 replay memory (the lease again where
-- there is no assertion), then, read at once: the published key, the predecessor (if ARGV[17] is 1), ARGV[18]
-- quarantines, and the marks of the lineage.
-- ARGV: 5 epoch, 7 now, 8 exp, 9 ceiling, 10 id, 11 the record behind its position, 12 audience, 13 seconds the record
-- lives, 14 seconds its minute lives, 15 shard, 16 whether there is an assertion, 6 its digest, 19 seconds it is
-- remembered, 20 since when it is usable, 21 digest of the lease's rule.
if lost() then return answer('LOST') end
if epoch ~= ARGV[5] then return answer('EPOCH') end
local now, exp = earlier(ARGV[7]), tonumber(ARGV[8])
local read = redis.call('MGET', unpack(KEYS, 6))

-- A revoked key is unpublished in the step that revokes it, and never published again.
if not read[1] or string.sub(read[1], 1, 16) ~= epoch then return answer('KEY') end
local at, predecessor = 2, nil
if ARGV[17] == '1' then
  at, predecessor = 3, KEYS[7]
end
local marks = at + tonumber(ARGV[18])
for i = at, marks - 1 do
  if read[i] then return answer('QUARANTINE', i - at) end
end
local lineage = {}
for i = marks, #KEYS - 5 do
  local m = mark(read[i])
  if m.c > now then return answer('TASK', i - marks, m.c) end
  lineage[i] = m
end
local replay = ARGV[16] == '1' and KEYS[5]
local no = replay and unspendable(replay, ARGV[6], ARGV[20])
if no then return answer(no, memory) end
if predecessor then
  local old = read[2] and lease(read[2])
  if not old or old.epoch ~= epoch or old.exp <= tonumber(ARGV[7]) then return answer('PREDECESSOR', 0) end
  if old.ended then return answer('PREDECESSOR', 1) end
  if old.successor then return answer('PREDECESSOR', 2) end
end

-- Nothing forbids it but its own name: that is checked by the first write.
local place = math.min(pos, tonumber(ARGV[9]))
local value = '\1' .. struct.pack('>I6', place) .. ARGV[11]
if not redis.call('SET', KEYS[2], value, 'NX', 'EX', ARGV[13]) then return answer('DUPLICATE') end
if redis.call('RPUSH', KEYS[3], ARGV[10]) == 1 then
  redis.call('EXPIRE', KEYS[3], ARGV[14])
  redis.call('SADD', KEYS[4], ARGV[15])
  redis.call('EXPIRE', KEYS[4], ARGV[14])
end
if replay then remember(replay, ARGV[6], ARGV[19]) end
if predecessor then redis.call('APPEND', predecessor, 'S' .. ARGV[10] .. ARGV[21]) end
for i, m in pairs(lineage) do
  local known = m.a == ARGV[12] or m.a == '*' or string.find(' ' .. m.a .. ' ', ' ' .. ARGV[12] .. ' ', 1, true)
  if m.x < exp or m.e ~= 0 or not known then
    if m.a == '' then
      m.a = ARGV[12]
    elseif not known then
      -- More than 1000 bytes of audiences are told as any: a mark stays small.
      m.a = #m.a < 1000 and m.a .. ' ' .. ARGV[12] or '*'
    end
    m.x, m.e, m.c = math.max(m.x, exp), 0, 0
    set_mark(KEYS[i + 5], m, now)
  end
end
if exp > maxexp then redis.call('HSET', KEYS[1], 'maxexp', math.ceil(exp / 60) * 60) end
return answer('OK')
