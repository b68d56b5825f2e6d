-- A trainer begins a new incarnation. ARGV: floor, token of this start.
-- Returns the incarnation. The token makes a repeated start the same start.
local stored = redis.call('HMGET', STATE, 'incarnation', 'starter')
if stored[2] == ARGV[2] then
  return tonumber(stored[1])
end
local mine = math.max(tonumber(stored[1] or 0), tonumber(ARGV[1])) + 1
reset()
redis.call('HSET', STATE, 'incarnation', mine, 'version', -1, 'phase', 'running',
  'starter', ARGV[2])
wake()
return mine
