-- Deletes all keys of the job. ARGV: the run that asks for it.
-- Returns the place of another run where one is at work, and then nothing was done.
local other = rival(ARGV[1])
if other then
  return other
end
redis.call('UNLINK', unpack(KEYS))
return 0
