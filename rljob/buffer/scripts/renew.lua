-- Extend leases. ARGV: consumer, then places. Returns those that the consumer still owns.
local owned = {}
for i = 2, #ARGV do
  local stream, entry = at(ARGV[i])
  if owns(ARGV[1], stream, entry) then
    redis.call('XCLAIM', stream, WORKERS, ARGV[1], 0, entry, 'JUSTID')
    owned[#owned + 1] = ARGV[i]
  end
end
return owned
