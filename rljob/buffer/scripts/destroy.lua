-- Delete all keys of the job. ARGV: the calling run.
-- If another run is active, returns its place and does nothing.
local other = rival(ARGV[1])
if other then
  return other
end
redis.call('UNLINK', unpack(KEYS))
return 0
