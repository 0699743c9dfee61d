-- Begins a new epoch, where the one that was found lost is still there. ARGV: 2 that epoch ('': none), 3 the new one, 4 and
-- 5 the generation and the position that the caller saw. Places go on from the highest one known, so that no place is ever
-- used twice. Where another epoch was before, assertions that were used in it are forgotten: the memory begins now, by this
-- server's clock, which all brokers share. 6 and 7: a shard's list of windows and one in it that is gone ('': none), which is
-- answered for by this.
local lib = library()
if epoch == ARGV[2] then
  local seen_gen, seen_pos = tonumber(ARGV[4]), tonumber(ARGV[5])
  if gen > 0 or seen_gen > 0 then memory = math.max(memory, tonumber(call('TIME')[1])) end
  epoch, gen, pos = ARGV[3], math.max(gen, seen_gen) + 1, math.max(pos, seen_pos)
  tag = sub(epoch, 1, 12)
  -- An empty `life` shuts out brokers of before there was `now`, see above. What was half written belongs to the epoch before.
  call('HSET', KEYS[1], 'now', lib.head(), 'life', '', 'base', pos)
  call('DEL', lib.open)
  if ARGV[6] ~= '' then call('ZREMRANGEBYSCORE', ARGV[6], ARGV[7], ARGV[7]) end
  call('PUBLISH', 'jitney:moved', pos)
end
return lib.answer('OK')
