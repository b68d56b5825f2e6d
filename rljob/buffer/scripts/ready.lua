-- Completions that are not acknowledged yet, oldest first. ARGV: maximum number, and maximum bytes;
-- the first is returned whatever its size.
-- Returns alternating entries and records.
local most, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {}
local after = '-'
while #found < 2 * most do
  local entry = redis.call('XRANGE', SAMPLES, after, '+', 'COUNT', 1)[1]
  if not entry then
    break
  end
  room = room - #entry[2][2]
  if room < 0 and #found > 0 then
    break
  end
  found[#found + 1] = entry[1]
  found[#found + 1] = entry[2][2]
  after = '(' .. entry[1]
end
return found
