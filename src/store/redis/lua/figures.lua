-- How many rules stand, and the latest exp of any lease, and how many minutes any reaches. ARGV: 2 now. Beyond 64 segments it is an estimate.
if lost() then return answer('LOST') end
local lib = library()
local live = redis.call('ZREVRANGEBYSCORE', 'jitney:{log}:live:' .. epoch, '+inf', tonumber(ARGV[2]) - GRACE)
local rules = math.max(#live - 64, 0) * SEGMENT
for i = 1, math.min(#live, 64) do
  rules = rules + redis.call('LLEN', lib.segment(tonumber(live[i]) * SEGMENT + 1))
end
return answer('OK', rules, maxexp, span)
