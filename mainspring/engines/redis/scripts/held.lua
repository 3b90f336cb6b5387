-- What grants still hold. ARGV: the clocks, tokens.

local found = {}
for i = 3, #ARGV do found[i - 2] = held_under(ARGV[i]) end
return found
