-- Begins a new epoch, where the one that was found lost is still there. ARGV: 5 that epoch ('': none), 6 the new one.
-- Places go on from the highest one known, so that no place is ever used twice. Where another epoch was before, assertions
-- that were used in it are forgotten: the memory begins now, by this server's clock, which all brokers share.
if epoch == ARGV[5] then
  if gen > 0 or tonumber(ARGV[2]) > 0 then
    memory = math.max(memory, tonumber(redis.call('TIME')[1]))
    redis.call('HSET', KEYS[1], 'memory', memory)
  end
  epoch, gen, pos = ARGV[6], math.max(gen, tonumber(ARGV[2])) + 1, math.max(pos, tonumber(ARGV[3]))
  tag = string.sub(epoch, 1, 12)
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'gen', gen, 'pos', pos, 'tag', tag, 'base', pos)
  redis.call('PUBLISH', 'jitney:moved', pos)
end
return answer('OK')
