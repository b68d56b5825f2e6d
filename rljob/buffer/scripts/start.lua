-- Begin a new incarnation. ARGV: floor, token of this start, the run, the run's place.
-- Returns the incarnation; if another run is active, returns its place and does nothing.
-- The token makes retries of a start idempotent.
local stored = redis.call('HMGET', STATE, 'incarnation', 'starter')
if stored[2] == ARGV[2] then
  return tonumber(stored[1])
end
local other = rival(ARGV[3])
if other then
  return other
end
local mine = math.max(tonumber(stored[1] or 0), tonumber(ARGV[1])) + 1
reset()
redis.call('HSET', STATE, 'incarnation', mine, 'version', -1, 'phase', 'running',
  'starter', ARGV[2], 'run', ARGV[3], 'place', ARGV[4])
wake()
return mine
