-- Writes the head as it is. The log of commands is one stream: whoever holds this holds all that came before.
local lib = library()
if lib.lost() then return lib.answer('LOST') end
lib.set_head()
return lib.answer('OK')
