-- Record that an engine caught up. ARGV: incarnation, engine id, version.
-- Returns the stored incarnation; if it is not the caller's, nothing was done.
local stored = incarnation()
if stored ~= tonumber(ARGV[1]) then
  return stored
end
although_full()
-- Versions only increase, as in set_version.
if tonumber(ARGV[3]) > tonumber(redis.call('HGET', VERSIONS, ARGV[2]) or -1) then
  redis.call('HSET', VERSIONS, ARGV[2], ARGV[3])
  wake()
end
return stored
