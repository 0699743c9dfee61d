-- How many rules stand, and the latest exp of any lease, and how many minutes any reaches. ARGV: 2 now. Beyond 64 segments it is an estimate.
local lib = library()
if lib.lost() then return lib.answer('LOST') end
local live = call('ZREVRANGEBYSCORE', 'jitney:{log}:live:' .. epoch, '+inf', tonumber(ARGV[2]) - GRACE)
local rules = math.max(#live - 64, 0) * SEGMENT
for i = 1, math.min(#live, 64) do
  rules = rules + call('LLEN', lib.segment(tonumber(live[i]) * SEGMENT + 1))
end
return lib.answer('OK', rules, maxexp, span)
