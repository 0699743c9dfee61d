-- Writes the head as it is. The log of commands is one stream: whoever holds this holds all that came before.
if lost() then return answer('LOST') end
redis.call('HSET', KEYS[1], 'pos', pos, 'tag', tag)
return answer('OK')
