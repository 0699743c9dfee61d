-- Records a lease. What nearly every mint does is spelled out; all else is done by the library. KEYS: 2 the leases of its
-- minute, 3 replay memory (2 again where there is no assertion), 4 the marks of the window in which it expires, 5 the
-- published key, then quarantines, then the ended names of the lineage, and the leases of the predecessor's minute where it
-- is a renewal.
-- ARGV: 2 numbers (below), 3 digest of the assertion ('': none), 4 where the lease lies in its minute, 5 its record, for the
-- head that the broker saw, 6 its mark; where something is begun or prolonged: 7 the minute, 8 the shard; of a renewal: 7
-- where the predecessor lies, 8 id, 9 digest of the lease's rule, and minute and shard behind these.
if not current then
  local lib = library()
  if lib.lost() then return lib.answer('LOST') end
end
local wanted, now, ceiling, from, exp, quarantines, renews, begins, kept, remembered, window, marked =
  struct.unpack('>c16I5I6I5I5BBBI4I4I4I4', ARGV[2])
if wanted ~= sub(head, 15, 30) then return library().answer('EPOCH') end

-- A revoked key is unpublished in the step that revokes it, and never published again.
local key = call('GET', KEYS[5])
if not key or sub(key, 1, 16) ~= wanted then return library().answer('KEY') end
local first, last = 6 + quarantines, #KEYS - renews
if call('EXISTS', unpack(KEYS, 6, last)) > 0 then
  local lib, read = library(), call('MGET', unpack(KEYS, 6, last))
  for i = 1, #read do
    local closed = i > quarantines and lib.mark(read[i]).c or 0
    if i <= quarantines and read[i] then return lib.answer('QUARANTINE', i - 1) end
    if closed > lib.earlier(now) then return lib.answer('TASK', i - quarantines - 1, closed) end
  end
end
-- From here on `marks` has what is to be written of each name.
local marks, mark = {}, ARGV[6]
for i = first, last do
  local raw = call('HGET', KEYS[4], sub(KEYS[i], -16, -3))
  if not raw or raw == '' then
    marks[i] = mark
  elseif raw ~= mark then
    marks[i] = library().joined(raw, mark)
  end
end
local digest = ARGV[3]
-- Most assertions are looked for by the write that remembers them. This one has to be looked for before.
local looked = digest ~= '' and (renews == 1 or #digest > 16 or sub(head, 1, 5) ~= '\0\0\0\0\0')
if looked then
  local lib = library()
  local no = lib.unspendable(KEYS[3], digest, from)
  if no then return lib.answer(no, memory) end
end
local old
if renews == 1 then
  local lib = library()
  old = call('HGET', KEYS[#KEYS], ARGV[7])
  local m = old and lib.lease(old)
  if not m or m.epoch ~= wanted or m.exp <= now then return lib.answer('PREDECESSOR', 0) end
  if m.ended then return lib.answer('PREDECESSOR', 1) end
  if m.successor then return lib.answer('PREDECESSOR', 2) end
end

-- A key that is new lives for ever until it is told: also where another broker, or an eviction, took the one that this broker
-- had begun.
local lib = (begins == 1 or call('EXISTS', KEYS[2], KEYS[3], KEYS[4]) < 3) and library()
if lib then
  local behind, windows = lib.behind(now), string.gsub(KEYS[4], '%d+$', 'all')
  kept, remembered, marked = kept + behind, remembered + behind, marked + behind
  -- What is no directory, or no list of windows, fails here, before anything of the lease is written.
  if begins == 1 then
    local directory = 'jitney:{dir}:' .. ARGV[7 + 3 * renews]
    call('SADD', directory, ARGV[8 + 3 * renews])
    lib.keep(directory, kept)
    lib.reach(exp, ARGV[7 + 3 * renews])
  elseif call('EXISTS', KEYS[4], windows) < 2 then
    -- This broker had begun both: they were taken away, with marks that nobody can name.
    call('ZADD', windows, math.ceil(math.max(maxexp, exp) / 60), 'lost')
  end
  if call('ZADD', windows, window, window) == 1 then
    call('ZREMRANGEBYSCORE', windows, '-inf', math.floor((now - behind - GRACE) / 60) - 1)
  end
  lib.keep(windows, marked)
  -- Redis searches a small hash from its beginning, unless something in it is as long as this.
  call('HSETNX', KEYS[4], '', string.rep(' ', 65))
  lib.keep(KEYS[4], marked)
end

-- Nothing forbids it but its own name and the assertion's: those are checked by the first writes.
local news = 0
if digest ~= '' then
  if looked then
    news = library().add(KEYS[3], digest)
  else
    news = call('SADD', KEYS[3], digest)
    if news == 0 then
      local lib = library()
      return lib.answer('REPLAYED', memory)
    end
  end
end
local value = ARGV[5]
-- The broker wrote the head that it saw into the record.
if not current then value = '\1' .. struct.pack('>I6', math.min(pos, ceiling)) .. sub(value, 8) end
local taken = redis.pcall('HSETNX', KEYS[2], ARGV[4], value)
if taken ~= 1 then
  if taken == 0 then
    -- What this very call remembered is taken back.
    if news > 0 then call('SREM', KEYS[3], sub(digest, 1, 16), sub(digest, 17)) end
    return library().answer('DUPLICATE')
  end
  if not string.find(taken.err, 'WRONGTYPE', 1, true) then return taken end
  -- What is no hash holds no lease that anybody could read.
  call('DEL', KEYS[2])
  call('HSET', KEYS[2], ARGV[4], value)
  library().keep(KEYS[2], kept)
end
for i = first, last do
  if marks[i] then call('HSET', KEYS[4], sub(KEYS[i], -16, -3), marks[i]) end
end
if lib then
  lib.keep(KEYS[2], kept)
  if digest ~= '' then lib.keep(KEYS[3], remembered) end
end
if renews == 1 then call('HSET', KEYS[#KEYS], ARGV[7], old .. 'S' .. ARGV[8] .. ARGV[9]) end
-- The caller knows the head that it saw.
if current then return 'OK' end
return library().answer('OK')
