-- Records a lease. What nearly every mint does is spelled out; all else is done by the library. KEYS: 2 the leases of its
-- minute, 3 replay memory (2 again where there is no assertion), 4 the published key, then quarantines, then the marks of
-- the lineage, and the leases of the predecessor's minute where it is a renewal.
-- ARGV: 2 numbers (below), 3 digest of the assertion ('': none), 4 where the lease lies in its minute, 5 the record behind
-- its position, 6 the mark of a task whose first lease this is, 7 how many seconds that is kept, 8 now; where a minute is
-- begun or prolonged, and of a renewal: 9 the minute, 10 the shard; of a renewal: 11 where the predecessor lies, 12 id,
-- 13 digest of the lease's rule.
if lost() then return answer('LOST') end
local wanted, ceiling, from, exp, quarantines, renews, begins, kept, remembered = struct.unpack('>c16I6I5I5BBBI4I4', ARGV[2])
if wanted ~= epoch then return answer('EPOCH') end
local read = redis.call('MGET', unpack(KEYS, 4))

-- A revoked key is unpublished in the step that revokes it, and never published again.
if not read[1] or string.sub(read[1], 1, 16) ~= epoch then return answer('KEY') end
for i = 2, quarantines + 1 do
  if read[i] then return answer('QUARANTINE', i - 2) end
end
-- How far this server's clock is behind the broker's.
local clock, behind = redis.call('TIME')[1], 0
if clock ~= ARGV[8] then behind = math.max(tonumber(ARGV[8]) - tonumber(clock), 0) end
-- From here on `read` has what is to be written to each mark, or false.
local marks, seconds = #KEYS - 3 - renews, nil
for i = quarantines + 2, marks do
  local raw = read[i]
  if not raw then
    read[i] = ARGV[6]
  elseif raw == ARGV[6] then
    read[i] = false
  else
    local lib, now, audience = library(), tonumber(ARGV[8]) - behind, string.sub(ARGV[6], 7)
    local m = lib.mark(raw)
    if m.c > now then return answer('TASK', i - quarantines - 2, m.c) end
    local known = m.a == audience or m.a == '*' or string.find(' ' .. m.a .. ' ', ' ' .. audience .. ' ', 1, true)
    if m.a == '' then
      m.a = audience
    elseif not known then
      -- More than 1000 bytes of audiences are told as any: a mark stays small.
      m.a = #m.a < 1000 and m.a .. ' ' .. audience or '*'
    end
    if m.x < exp or m.e ~= 0 or not known then
      m.x, m.e, m.c = math.max(m.x, exp), 0, 0
      seconds = seconds or {}
      read[i], seconds[i] = lib.mark_bytes(m), lib.mark_seconds(m, now)
    else
      read[i] = false
    end
  end
end
local digest = ARGV[3]
-- Most assertions are looked for by the write that remembers them. This one has to be looked for before.
local looked = digest ~= '' and (renews == 1 or memory > 0 or #digest > 16)
if looked then
  local no = library().unspendable(KEYS[3], digest, from)
  if no then return answer(no, memory) end
end
local old
if renews == 1 then
  old = redis.call('HGET', KEYS[#KEYS], ARGV[11])
  local m = old and library().lease(old)
  if not m or m.epoch ~= epoch or m.exp <= tonumber(ARGV[8]) then return answer('PREDECESSOR', 0) end
  if m.ended then return answer('PREDECESSOR', 1) end
  if m.successor then return answer('PREDECESSOR', 2) end
end

-- The minute's directory comes first: what is no set there fails here, before anything of the lease is written.
if begins == 1 then
  local directory = 'jitney:{dir}:' .. ARGV[9]
  redis.call('SADD', directory, ARGV[10])
  library().keep(directory, kept + behind)
end

-- Nothing forbids it but its own name and the assertion's: those are checked by the first writes.
local news = 0
if digest ~= '' then
  if looked then
    news = library().add(KEYS[3], digest)
  else
    news = redis.call('SADD', KEYS[3], digest)
    if news == 0 then return answer('REPLAYED', memory) end
  end
end
local value = '\1' .. struct.pack('>I6', math.min(pos, ceiling)) .. ARGV[5]
local taken = redis.pcall('HSETNX', KEYS[2], ARGV[4], value)
if taken ~= 1 then
  if taken == 0 then
    -- What this very call remembered is taken back.
    if news > 0 then redis.call('SREM', KEYS[3], string.sub(digest, 1, 16), string.sub(digest, 17)) end
    return answer('DUPLICATE')
  end
  if not string.find(taken.err, 'WRONGTYPE', 1, true) then return taken end
  -- What is no hash holds no lease that anybody could read.
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], ARGV[4], value)
end
-- A key that is new lives for ever until it is told: also where another broker, or an eviction, took the one that this broker
-- had begun.
if begins == 1 or redis.call('HLEN', KEYS[2]) == 1 then library().keep(KEYS[2], kept + behind) end
if digest ~= '' and (begins == 1 or redis.call('SCARD', KEYS[3]) <= 2) then library().keep(KEYS[3], remembered + behind) end
for i = quarantines + 2, marks do
  if read[i] then
    local ttl = seconds and seconds[i] or behind == 0 and ARGV[7] or tonumber(ARGV[7]) + behind
    redis.call('SET', KEYS[i + 3], read[i], 'EX', ttl)
  end
end
if begins == 1 then
  local upto = math.ceil(exp / 60)
  local reach = math.min(upto - tonumber(ARGV[9]), 4294967295)
  if upto * 60 > maxexp or reach > span then
    maxexp, span = math.max(maxexp, upto * 60), math.max(span, reach)
    library().set_life()
  end
end
if renews == 1 then redis.call('HSET', KEYS[#KEYS], ARGV[11], old .. 'S' .. ARGV[12] .. ARGV[13]) end
-- The caller knows the head that it saw.
if current then return 'OK' end
return answer('OK')
