-- Every script of jitney's begins with this text. KEYS[1] is the log's head; ARGV[1] is what the calling broker last saw
-- of it: epoch 16, generation 4, tag 12, then the position. Scripts check everything first and write afterwards, for a
-- script that fails midway has written.
local SEGMENT, GRACE, LEEWAY = 256, 90, 60
-- Looked up once: each name of Redis' and each table in it costs as much as a comparison of what is in it.
local KEYS, ARGV, call, sub = KEYS, ARGV, redis.call, string.sub
local head = call('HGET', KEYS[1], 'now')
-- The head lay in three fields where marks lay elsewhere. Whoever finds it so takes the log over; scripts of then fail from
-- there on, for `life` is too short for them: they would miss marks.
if not head then
  local h = call('HMGET', KEYS[1], 'life', 'pos', 'tag')
  if h[1] and #h[1] == 34 then
    head = sub(h[1], 21) .. sub(h[1], 1, 20) .. h[3] .. h[2]
    call('HSET', KEYS[1], 'now', head, 'life', '')
  end
end
-- Whether the caller saw the very head that is there, as nearly all do.
local current = head and sub(head, 15) == ARGV[1]

-- What scripts know besides. Most mints do without, so nothing of it is made before it is asked for. The head is epoch, gen
-- (which epoch it is, counted), pos and tag of the last rule; and of this epoch: since when used assertions are remembered,
-- where a memory was lost before (else 0); the latest exp of any lease; and how many minutes behind the one of its making a
-- lease reaches at most.
local epoch, gen, pos, tag, memory, maxexp, span = '', 0, 0, '', 0, 0, 0
local function library()
  -- The names of ends that are under way: at any moment but within a script, of none.
  local lib = {open = 'jitney:{log}:open'}
  if epoch == '' and head then
    memory, maxexp, span, epoch, gen, tag = struct.unpack('>I5I5I4c16I4c12', head)
    pos = tonumber(sub(head, 47))
  end

  -- What is answered: a word, the head, and what it says besides.
  function lib.answer(status, ...)
    return {status, epoch, gen, pos, tag, ...}
  end

  -- Whether what the caller saw is no longer in the log: a tail was lost, or all of it.
  function lib.lost()
    if current then return false end
    if epoch == '' then return true end
    local seen_epoch, seen_gen, seen_tag = struct.unpack('>c16I4c12', ARGV[1])
    local seen_pos = tonumber(sub(ARGV[1], 33))
    if gen ~= seen_gen then return gen < seen_gen end
    if epoch ~= seen_epoch or pos < seen_pos then return true end
    if pos == seen_pos then return tag ~= seen_tag end
    local segment = math.floor((seen_pos - 1) / SEGMENT)
    local last = math.min(pos, (segment + 1) * SEGMENT)
    local entry = call('LINDEX', 'jitney:{log}:s:' .. epoch .. ':' .. segment, seen_pos - last - 1)
    -- No entry: it has expired with all it could end, or it is the place where the epoch began.
    return entry and sub(entry, 29, 40) ~= seen_tag or false
  end

  -- The head as it is written.
  function lib.head()
    head = struct.pack('>I5I5I4c16I4c12', memory, maxexp, span, epoch, gen, tag) .. string.format('%d', pos)
    return head
  end

  -- Writes it.
  function lib.set_head()
    call('HSET', KEYS[1], 'now', lib.head())
  end

  -- A broker's now, or this server's where that is earlier: what is past by a clock that is ahead is not past for that.
  function lib.earlier(now)
    return math.min(tonumber(now), tonumber(call('TIME')[1]))
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
  -- ended, 1 · x 5 · e 6 · c 5 · a where it was; nothing where the leases of its window were ended.
  function lib.mark(raw)
    if not raw or raw == '' then return {x = 0, e = 0, c = 0, a = ''} end
    local kind = string.byte(raw)
    if kind == 0 then return {x = struct.unpack('>I5', raw, 2), e = 0, c = 0, a = sub(raw, 7)} end
    if kind ~= 1 then error('a mark of an unknown kind') end
    local x, e, c = struct.unpack('>I5I6I5', raw, 2)
    return {x = x, e = e, c = c, a = sub(raw, 18)}
  end

  -- Both of two lists of audiences. More than 1000 bytes are told as any: a mark stays small.
  function lib.both(a, b)
    if a == '' or b == '*' then return b end
    if a == '*' then return a end
    for audience in string.gmatch(b, '[^ ]+') do
      if not string.find(' ' .. a .. ' ', ' ' .. audience .. ' ', 1, true) then
        if #a >= 1000 then return '*' end
        a = a .. ' ' .. audience
      end
    end
    return a
  end

  -- A mark, and the lease of another mark under the same name; nil where that changes nothing.
  function lib.joined(raw, with)
    local m, new = lib.mark(raw), lib.mark(with)
    local x, a = math.max(m.x, new.x), lib.both(m.a, new.a)
    if x == m.x and a == m.a then return nil end
    m.x, m.a = x, a
    return lib.mark_bytes(m)
  end

  function lib.mark_bytes(m)
    if m.e == 0 and m.c == 0 then return '\0' .. struct.pack('>I5', m.x) .. m.a end
    return '\1' .. struct.pack('>I5I6I5', m.x, m.e, math.min(m.c, 1099511627775)) .. m.a
  end

  -- How long a mark is kept. Ten years are for ever, and a number that Redis takes.
  function lib.mark_seconds(m, now)
    return math.min(math.max(m.x, m.c, now) - now, 315360000) + GRACE
  end

  -- What the windows of a shard tell of a task's name: the last exp and the audiences of leases that no rule has ended, and
  -- in which windows they are. `m` is what was known when the name was ended last.
  function lib.marked(prefix, name, m, now)
    local found, windows = lib.mark(), {}
    local all = call('ZRANGEBYSCORE', prefix .. 'all', math.floor((now - LEEWAY) / 60), '+inf', 'WITHSCORES')
    for i = 1, #all, 2 do
      local new
      if all[i] == 'lost' then
        -- Of any name there may have been leases, unless it was ended since.
        local x = tonumber(all[i + 1]) * 60
        if m.e == 0 or m.x < x then new = {x = x, a = '*'} end
      else
        local key = prefix .. all[i]
        local raw = call('HGET', key, name)
        if raw and raw ~= '' then new, windows[#windows + 1] = lib.mark(raw), key end
      end
      if new then found.x, found.a = math.max(found.x, new.x), lib.both(found.a, new.a) end
    end
    return found, windows
  end

  -- Notes how far a lease reaches: behind what else was known, and behind the minute in which it is made.
  function lib.reach(exp, minute)
    local upto = math.ceil(exp / 60)
    local reach = math.min(upto - minute, 4294967295)
    if upto * 60 > maxexp or reach > span then
      maxexp, span = math.max(maxexp, upto * 60), math.max(span, reach)
      lib.set_head()
    end
  end

  -- Where a lease lies: its shard's hash of the minute that its name begins with, and in it the name without what is the
  -- same of the whole shard. A name that no broker gives is looked for whole, and not found.
  function lib.field(prefix, id)
    local given = math.floor(string.byte(id, 9) / 64) == 2
    local field = given and sub(id, 1, 8) .. sub(id, 13) or id
    return prefix .. math.floor(struct.unpack('>I6', id) / 60000), field
  end

  -- A lease's record as `packed.rs` lays it out.
  function lib.lease(raw)
    local exp, len = struct.unpack('>I5I2', raw, 16)
    local found = {exp = exp, audience = sub(raw, 24, 23 + string.byte(raw, 23))}
    found.epoch = string.gsub(sub(raw, 8, 15), '.', function(c) return string.format('%02x', string.byte(c)) end)
    local at = 23 + len
    while at <= #raw do
      local what = sub(raw, at, at)
      if what == 'S' then
        found.successor, found.digest, at = sub(raw, at + 1, at + 16), sub(raw, at + 17, at + 32), at + 33
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
    local purpose = sub(digest, 17)
    if call('SISMEMBER', key, sub(digest, 1, 16)) == 1 then
      if purpose ~= '' and call('SISMEMBER', key, purpose) == 1 then return nil end
      return 'REPLAYED'
    end
    if memory > 0 and tonumber(from) <= memory then return 'FORGOTTEN' end
  end

  -- Remembers an assertion, and its purpose; says how many of the two were news.
  function lib.add(key, digest)
    if #digest == 16 then return call('SADD', key, digest) end
    return call('SADD', key, sub(digest, 1, 16), sub(digest, 17))
  end

  -- The same, for as long as a broker whose now this is says.
  function lib.remember(key, digest, ttl, now)
    lib.add(key, digest)
    lib.keep(key, ttl + lib.behind(now))
  end

  -- Lets a key live so long at least.
  function lib.keep(key, ttl)
    if call('TTL', key) < tonumber(ttl) then call('EXPIRE', key, ttl) end
  end

  return lib
end

