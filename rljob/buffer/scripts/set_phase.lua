-- Set the phase. ARGV: incarnation, phase.
-- Returns the stored incarnation; if it is not the caller's, nothing was done.
local stored = incarnation()
if stored ~= tonumber(ARGV[1]) then
  return stored
end
although_full()
redis.call('HSET', STATE, 'phase', ARGV[2])
wake()
return stored
