-- Begins a new epoch, where the one that was found lost is still there. ARGV: 5 that epoch ('': none), 6 the new one.
-- Places go on from the highest one known, so that no place is ever used twice.
if epoch == ARGV[5] then
  epoch, gen, pos = ARGV[6], math.max(gen, tonumber(ARGV[2])) + 1, math.max(pos, tonumber(ARGV[3]))
  tag = string.sub(epoch, 1, 12)
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'gen', gen, 'pos', pos, 'tag', tag, 'base', pos)
  redis.call('PUBLISH', 'jitney:moved', pos)
end
return answer('OK')
