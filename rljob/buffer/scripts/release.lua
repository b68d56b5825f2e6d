-- A worker gives a lease back: anyone may claim it at once. ARGV: consumer, place.
local stream, entry = at(ARGV[2])
if owns(ARGV[1], stream, entry) then
  redis.call('XCLAIM', stream, WORKERS, RELEASED, 0, entry, 'TIME', 0, 'JUSTID')
  wake()
end
