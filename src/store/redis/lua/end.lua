-- Ends leases: the mark first, the rule second. KEYS: 2 what the target keeps (mark, lease, quarantine or published key;
-- the head again where it keeps nothing), 3 all quarantines, 4 the replay memory (if ARGV[5] is 1). ARGV: 2 target, 3 now,
-- 4 digest of the rule, 6 replay digest, 7 seconds of the replay memory, 8 since when the assertion is usable, 9 and further
-- as the target needs.
local lib = library()
if lib.lost() then return lib.answer('LOST') end
local target, now, digest = ARGV[2], lib.earlier(ARGV[3]), ARGV[4]
local KIND = {lease = 1, task = 2, livetask = 2, workload = 3, quarantine = 3, restore = 3, audience = 4, key = 5, all = 6}
local kind = KIND[target]
local rules, leases = {}, {}
local imposes = target == 'quarantine' or target == 'restore'

local chain = {}
if target == 'lease' then
  local id, of = ARGV[10], digest
  while id do
    local key, field = lib.field(ARGV[9], id)
    local raw = call('HGET', key, field)
    local found = raw and lib.lease(raw)
    if not found or found.epoch ~= epoch then break end
    if not found.ended and found.exp > now then
      chain[#chain + 1] = {key = key, field = field, raw = raw, id = id, digest = of, exp = found.exp, audience = found.audience}
    end
    id, of = found.successor, found.digest
  end
end
local m, marked, windows = (target == 'task' or target == 'livetask') and lib.mark(call('GET', KEYS[2])), nil, nil
local uncovered
if m then
  marked, windows = lib.marked(ARGV[10], sub(KEYS[2], -16, -3), m, now)
  -- Whether leases may live that no rule covers. Marks of before there were windows lie with the ended names.
  uncovered = math.max(m.e == 0 and m.x or 0, marked.x) + LEEWAY > now
end
if target == 'restore' then
  if epoch ~= ARGV[11] then return lib.answer('EPOCH') end
  -- A release in this epoch stands: whoever restores knows of the one before only.
  local known = call('HMGET', KEYS[3], ARGV[10])[1]
  if call('EXISTS', KEYS[2]) == 1 or known == '-' .. gen then return lib.answer('OK', {}, {}, 0) end
end
if target == 'quarantine' and call('EXISTS', KEYS[2]) == 1 then
  -- The first one stands, with its reason. One of which only half is there (of a release, say) is made anew.
  local known = call('HMGET', KEYS[3], ARGV[10])[1]
  imposes = not known or sub(known, 1, 1) ~= '{'
end
local no = ARGV[5] == '1' and lib.unspendable(KEYS[4], ARGV[6], ARGV[8])
if no then return lib.answer(no, memory) end
if target == 'livetask' and not uncovered then return lib.answer('NOTHING') end

-- Nothing forbids it: from here on everything is written. Of a write that its disk broke off in the middle, Redis carries out
-- the half that is there when it is started a second time. This name, which no other write has, then stays.
local time = call('TIME')
local name = time[1] .. '.' .. time[2] .. '.' .. pos
call('SADD', lib.open, name)
local function append(of, till, audiences)
  pos = pos + 1
  local body = string.char(kind) .. of .. struct.pack('>I6I5', pos, till)
  tag = sub(redis.sha1hex(tag .. body .. audiences), 1, 12)
  local entry, key = body .. tag .. audiences, lib.segment(pos)
  local ttl = math.max(till - now, 0) + GRACE
  local length = call('RPUSH', key, entry)
  lib.keep(key, ttl)
  local live = 'jitney:{log}:live:' .. epoch
  call('ZADD', live, 'GT', now + ttl, math.floor((pos - 1) / SEGMENT))
  lib.keep(live, ttl)
  if length == 1 then call('ZREMRANGEBYSCORE', live, '-inf', now - GRACE) end
  rules[#rules + 1] = entry
end

if ARGV[5] == '1' then lib.remember(KEYS[4], ARGV[6], ARGV[7], ARGV[3]) end
if m then
  m.c = math.max(m.c, tonumber(ARGV[9]))
  m.x, m.a = math.max(m.x, marked.x), lib.both(m.a, marked.a)
  if uncovered then m.e = pos + 1 end
  call('SET', KEYS[2], lib.mark_bytes(m), 'EX', lib.mark_seconds(m, now))
  if uncovered then append(digest, m.x, m.a == '*' and '' or m.a) end
  for _, window in ipairs(windows) do call('HSET', window, sub(KEYS[2], -16, -3), '') end
elseif target == 'lease' then
  for _, each in ipairs(chain) do
    call('HSET', each.key, each.field, each.raw .. 'E' .. struct.pack('>I5I6', now, pos + 1))
    append(each.digest, each.exp, each.audience)
    leases[#leases + 1] = each.id
  end
elseif target == 'key' then
  if call('HEXISTS', KEYS[1], 'k:' .. ARGV[9]) == 0 then
    call('HSET', KEYS[1], 'k:' .. ARGV[9], pos + 1)
    call('DEL', KEYS[2])
    append(digest, 0, '')
  end
else
  if imposes then
    call('SET', KEYS[2], ARGV[9])
    call('HSET', KEYS[3], ARGV[10], ARGV[9])
  end
  if maxexp + LEEWAY > now then append(digest, maxexp, '') end
end
-- Written even where nothing was appended: WAIT may count from this connection's last write only, and what an earlier
-- call wrote on another connection is to be waited for too. (Redis 7.0 counts from its last command of any kind.)
lib.set_head()
call('SREM', lib.open, name)
if #rules > 0 then call('PUBLISH', 'jitney:moved', pos) end
return lib.answer('OK', rules, leases, imposes and 1 or 0)
