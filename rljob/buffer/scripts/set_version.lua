-- A weight version is published. ARGV: incarnation, version, ids of the engines that hold it.
-- Returns the stored incarnation: where it is not the caller's, nothing was done.
-- Versions only grow: a request that a network delayed must not bring an older one back.
local stored = incarnation()
if stored ~= tonumber(ARGV[1]) or tonumber(ARGV[2]) < published() then
  return stored
end
-- Engines left out hold an older version, which admits them no more than none does.
redis.call('DEL', VERSIONS)
for i = 3, #ARGV do
  redis.call('HSET', VERSIONS, ARGV[i], ARGV[2])
end
redis.call('HSET', STATE, 'version', ARGV[2])
wake()
return stored
