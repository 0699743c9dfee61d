-- Every script of jitney's begins with this text. KEYS[1] is the log's head; ARGV[1..4] say what the calling broker last
-- saw of it: epoch, generation, position, tag. Scripts check everything first and write afterwards, for a script that
-- fails midway has written.
local SEGMENT, GRACE, LEEWAY = 256, 90, 60
local h = redis.call('HMGET', KEYS[1], 'epoch', 'gen', 'pos', 'tag', 'maxexp', 'memory')
local epoch, gen, pos, tag = h[1] or '', tonumber(h[2] or '0'), tonumber(h[3] or '0'), h[4] or ''
local maxexp = tonumber(h[5] or '0')
-- Since when used assertions are remembered, where a memory was lost before; else 0.
local memory = tonumber(h[6] or '0')

local function answer(status, ...)
  return {status, epoch, gen, pos, tag, ...}
end

-- A broker's now, or this server's where that is earlier: what is past by a clock that is ahead is not past for that.
local function earlier(now)
  return math.min(tonumber(now), tonumber(redis.call('TIME')[1]))
end

-- The list that holds the rule of place `p`.
local function segment(p)
  return 'jitney:{log}:s:' .. epoch .. ':' .. math.floor((p - 1) / SEGMENT)
end

-- Whether what the caller saw is no longer in the log: a tail was lost, or all of it.
local function lost()
  if epoch == '' then return true end
  local seen_gen, seen_pos = tonumber(ARGV[2]), tonumber(ARGV[3])
  if gen ~= seen_gen then return gen < seen_gen end
  if epoch ~= ARGV[1] or pos < seen_pos then return true end
  if pos == seen_pos then return tag ~= ARGV[4] end
  local last = math.min(pos, (math.floor((seen_pos - 1) / SEGMENT) + 1) * SEGMENT)
  local entry = redis.call('LINDEX', segment(seen_pos), seen_pos - last - 1)
  -- No entry: it has expired with all it could end, or it is the place where the epoch began.
  return entry and string.sub(entry, 29, 40) ~= ARGV[4] or false
end

-- A task's mark as it is kept: x the last exp under it, e the place of the rule that covers all of them (0: none), c until when it
-- is closed, a the audiences of its leases ('*': any).
local function mark(raw)
  if not raw then return {x = 0, e = 0, c = 0, a = ''} end
  local m = cmsgpack.unpack(raw)
  return {x = m[1], e = m[2], c = m[3], a = m[4]}
end

local function set_mark(key, m, now)
  -- Ten years are for ever, and a number that Redis takes.
  local ttl = math.min(math.max(m.x, m.c, now) - now, 315360000) + GRACE
  redis.call('SET', key, cmsgpack.pack({m.x, m.e, m.c, m.a}), 'EX', ttl)
end

-- A lease's record as `packed.rs` lays it out.
local function lease(raw)
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

-- Why an assertion does not count, if so: it was used, or can have been used before the memory began. 16 bytes of digest; 16
-- more name a purpose: what is known to be bound to that one may come again.
local function unspendable(key, digest, from)
  local purpose = string.sub(digest, 17)
  if redis.call('HEXISTS', key, string.sub(digest, 1, 16)) == 1 then
    if purpose ~= '' and redis.call('HEXISTS', key, purpose) == 1 then return nil end
    return 'REPLAYED'
  end
  if memory > 0 and tonumber(from) <= memory then return 'FORGOTTEN' end
end

-- Remembers an assertion, and its purpose. The bucket is set to expire when it is begun: all that follows in it has the same
-- minute.
local function remember(key, digest, ttl)
  for at = 1, #digest, 16 do
    redis.call('HSET', key, string.sub(digest, at, at + 15), '')
  end
  if redis.call('HLEN', key) <= 2 then redis.call('EXPIRE', key, ttl) end
end

