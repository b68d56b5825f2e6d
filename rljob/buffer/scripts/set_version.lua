-- Publish a weight version. ARGV: incarnation, version, ids of the engines that hold it.
-- Returns the stored incarnation; if it is not the caller's, nothing was done.
-- Versions only increase: a delayed request must not bring an older one back.
local stored = incarnation()
if stored ~= tonumber(ARGV[1]) or tonumber(ARGV[2]) < published() then
  return stored
end
-- Engines that are not listed hold an older version; that is the same as no entry.
redis.call('DEL', VERSIONS)
for i = 3, #ARGV do
  redis.call('HSET', VERSIONS, ARGV[i], ARGV[2])
end
redis.call('HSET', STATE, 'version', ARGV[2])
wake()
return stored
