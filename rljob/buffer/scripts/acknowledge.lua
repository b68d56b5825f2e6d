-- Acknowledge completions. ARGV: incarnation, then alternating entries and group ids.
-- Returns the stored incarnation; if it is not the caller's, nothing was done.
local stored = incarnation()
if stored ~= tonumber(ARGV[1]) then
  return stored
end
for i = 2, #ARGV, 2 do
  redis.call('XDEL', SAMPLES, ARGV[i])
  redis.call('HDEL', GROUPS, ARGV[i + 1])
end
return stored
