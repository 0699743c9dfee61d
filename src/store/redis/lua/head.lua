-- Every script of jitney's begins with this text. KEYS[1] is the log's head; ARGV[1] is what the calling broker last saw
-- of it: epoch 16, generation 4, tag 12, then the position. Scripts check everything first and write afterwards, for a
-- script that fails midway has written.
local SEGMENT, GRACE, LEEWAY = 256, 90, 60
local h = redis.call('HMGET', KEYS[1], 'life', 'pos', 'tag')
local life, pos, tag = h[1] or string.rep('\0', 34), h[2] or '0', h[3] or ''
-- Whether the caller saw the very head that is there, as nearly all do.
local current = string.sub(life, 1, 20) .. tag .. pos == ARGV[1]
-- Of this life of the log: since when used assertions are remembered, where a memory was lost before (else 0); the latest
-- exp of any lease; and how many minutes behind the one of its making a lease reaches at most.
local epoch, gen, memory, maxexp, span = struct.unpack('>c16I4I5I5I4', life)
if not h[1] then epoch = '' end
pos = tonumber(pos)

local function answer(status, ...)
  return {status, epoch, gen, pos, tag, ...}
end

-- Whether what the caller saw is no longer in the log: a tail was lost, or all of it.
local function lost()
  if current then return false end
  if epoch == '' then return true end
  local seen_epoch, seen_gen, seen_tag = struct.unpack('>c16I4c12', ARGV[1])
  local seen_pos = tonumber(string.sub(ARGV[1], 33))
  if gen ~= seen_gen then return gen < seen_gen end
  if epoch ~= seen_epoch or pos < seen_pos then return true end
  if pos == seen_pos then return tag ~= seen_tag end
  local segment = math.floor((seen_pos - 1) / SEGMENT)
  local last = math.min(pos, (segment + 1) * SEGMENT)
  local entry = redis.call('LINDEX', 'jitney:{log}:s:' .. epoch .. ':' .. segment, seen_pos - last - 1)
  -- No entry: it has expired with all it could end, or it is the place where the epoch began.
  return entry and string.sub(entry, 29, 40) ~= seen_tag or false
end

-- What scripts know besides. It is made only where it is asked for: most mints do without.
local function library()
  local lib = {}

  -- Writes what this life of the log is known by, but for its last rule.
  function lib.set_life()
    redis.call('HSET', KEYS[1], 'life', struct.pack('>c16I4I5I5I4', epoch, gen, memory, maxexp, span))
  end

  -- A broker's now, or this server's where that is earlier: what is past by a clock that is ahead is not past for that.
  function lib.earlier(now)
    return math.min(tonumber(now), tonumber(redis.call('TIME')[1]))
  end

  -- How far this server's clock is behind that of a broker. So much longer is kept what is to be known until a moment: the
  -- seconds that a broker says are too few by as many as it is ahead.
  function lib.behind(now)
    return tonumber(now) - lib.earlier(now)
  end

  -- The list that holds the rule of place `p`.
  function lib.segment(p)
    return 'jitney:{log}:s:' .. epoch .. ':' .. math.floor((p - 1) / SEGMENT)
  end

  -- A task's mark: x the last exp under it, e the place of the rule that covers all of them (0: none), c until when it is
  -- closed, a the audiences of its leases, parted by spaces ('*': any). As it is kept: 0 · x 5 · a where it was never
  -- ended, 1 · x 5 · e 6 · c 5 · a where it was.
  function lib.mark(raw)
    if not raw then return {x = 0, e = 0, c = 0, a = ''} end
    local kind = string.byte(raw)
    if kind == 0 then return {x = struct.unpack('>I5', raw, 2), e = 0, c = 0, a = string.sub(raw, 7)} end
    if kind ~= 1 then error('a mark of an unknown kind') end
    local x, e, c = struct.unpack('>I5I6I5', raw, 2)
    return {x = x, e = e, c = c, a = string.sub(raw, 18)}
  end

  function lib.mark_bytes(m)
    if m.e == 0 and m.c == 0 then return '\0' .. struct.pack('>I5', m.x) .. m.a end
    return '\1' .. struct.pack('>I5I6I5', m.x, m.e, math.min(m.c, 1099511627775)) .. m.a
  end

  -- How long a mark is kept. Ten years are for ever, and a number that Redis takes.
  function lib.mark_seconds(m, now)
    return math.min(math.max(m.x, m.c, now) - now, 315360000) + GRACE
  end

  -- Where a lease lies: its shard's hash of the minute that its name begins with, and in it the name without what is the
  -- same of the whole shard. A name that no broker gives is looked for whole, and not found.
  function lib.field(prefix, id)
    local given = math.floor(string.byte(id, 9) / 64) == 2
    local field = given and string.sub(id, 1, 8) .. string.sub(id, 13) or id
    return prefix .. math.floor(struct.unpack('>I6', id) / 60000), field
  end

  -- A lease's record as `packed.rs` lays it out.
  function lib.lease(raw)
    local exp, len = struct.unpack('>I5I2', raw, 16)
    local found = {exp = exp, audience = string.sub(raw, 24, 23 + string.byte(raw, 23))}
    found.epoch = string.gsub(string.sub(raw, 8, 15), '.', function(c) return string.format('%02x', string.byte(c)) end)
    local at = 23 + len
    while at <= #raw do
      local what = string.sub(raw, at, at)
      if what == 'S' then
        found.successor, found.digest, at = string.sub(raw, at + 1, at + 16), string.sub(raw, at + 17, at + 32), at + 33
      elseif what == 'E' then
        found.ended, at = true, at + 12
      else
        error('a lease has an unknown trailer')
      end
    end
    return found
  end

  -- Why an assertion does not count, if so: it was used, or can have been used before the memory began. 16 bytes of digest;
  -- 16 more name a purpose: what is known to be bound to that one may come again.
  function lib.unspendable(key, digest, from)
    local purpose = string.sub(digest, 17)
    if redis.call('SISMEMBER', key, string.sub(digest, 1, 16)) == 1 then
      if purpose ~= '' and redis.call('SISMEMBER', key, purpose) == 1 then return nil end
      return 'REPLAYED'
    end
    if memory > 0 and tonumber(from) <= memory then return 'FORGOTTEN' end
  end

  -- Remembers an assertion, and its purpose; says how many of the two were news.
  function lib.add(key, digest)
    if #digest == 16 then return redis.call('SADD', key, digest) end
    return redis.call('SADD', key, string.sub(digest, 1, 16), string.sub(digest, 17))
  end

  -- The same, for as long as a broker whose now this is says.
  function lib.remember(key, digest, ttl, now)
    lib.add(key, digest)
    lib.keep(key, ttl + lib.behind(now))
  end

  -- Lets a key live so long at least.
  function lib.keep(key, ttl)
    if redis.call('TTL', key) < tonumber(ttl) then redis.call('EXPIRE', key, ttl) end
  end

  return lib
end

