-- The mint as it mostly is, before all else: by one workload, for a task of one name, by an assertion, nothing renewed and
-- nothing begun; whoever calls says so by giving six arguments. It checks what `mint.lua` checks, in its order, and writes what
-- that writes. Whatever it finds otherwise it leaves to the text behind it, with nothing written. Each call of Redis costs as
-- much as all else in it, and a closure that knows ten names as much as two. KEYS and ARGV as in `mint.lua`.
if #ARGV == 6 then
  local KEYS, ARGV, call, sub = KEYS, ARGV, redis.call, string.sub
  local head = call('HGET', KEYS[1], 'now')
  -- The caller saw this very head, and no memory of assertions was lost before.
  if head and sub(head, 15) == ARGV[1] and string.byte(head, 2) == 0 then
    local key = call('GET', KEYS[5])
    if key and sub(key, 1, 16) == sub(ARGV[1], 1, 16) and call('EXISTS', KEYS[6], KEYS[7]) == 0
      and call('EXISTS', KEYS[2], KEYS[3], KEYS[4]) == 3 and call('SADD', KEYS[3], ARGV[3]) == 1 then
      local name = sub(KEYS[7], -16, -3)
      local marked = redis.pcall('HSETNX', KEYS[4], name, ARGV[6])
      if marked == 1 or marked == 0 and call('HGET', KEYS[4], name) == ARGV[6] then
        if redis.pcall('HSETNX', KEYS[2], ARGV[4], ARGV[5]) == 1 then return 'OK' end
      end
      call('SREM', KEYS[3], ARGV[3])
    end
  end
end

