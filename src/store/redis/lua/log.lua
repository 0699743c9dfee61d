-- The log behind a place. ARGV: 2 that place, 3 how many at most, 4 now. Answers the entries, the revoked keys with
-- their places (rules on keys never expire), and the place up to which this tells the log.
local lib = library()
if lib.lost() then return lib.answer('LOST') end
local after, limit, now = tonumber(ARGV[2]), tonumber(ARGV[3]), lib.earlier(ARGV[4])
local all = call('HGETALL', KEYS[1])
local base, keys = 0, {}
for i = 1, #all, 2 do
  if all[i] == 'base' then base = tonumber(all[i + 1]) end
end
after = math.max(after, base)
for i = 1, #all, 2 do
  local place = tonumber(all[i + 1])
  if sub(all[i], 1, 2) == 'k:' and place > after then
    keys[#keys + 1] = sub(all[i], 3)
    keys[#keys + 1] = place
  end
end
local numbers = {}
local first, last = math.floor(after / SEGMENT), math.floor((pos - 1) / SEGMENT)
if last - first < 8 then
  for n = first, last do numbers[#numbers + 1] = n end
else
  for _, n in ipairs(call('ZRANGEBYSCORE', 'jitney:{log}:live:' .. epoch, now - GRACE, '+inf')) do
    if tonumber(n) >= first then numbers[#numbers + 1] = tonumber(n) end
  end
  table.sort(numbers)
end
local entries, upto = {}, math.max(pos, after)
for _, n in ipairs(numbers) do
  local from = n == last and after >= n * SEGMENT and after < pos and after - pos or 0
  for _, entry in ipairs(call('LRANGE', lib.segment(n * SEGMENT + 1), from, -1)) do
    local place = struct.unpack('>I6', entry, 18)
    if place > after then
      if #entries == limit then return lib.answer('OK', entries, keys, upto) end
      entries[#entries + 1] = entry
      upto = place
    end
  end
end
return lib.answer('OK', entries, keys, math.max(pos, after))
