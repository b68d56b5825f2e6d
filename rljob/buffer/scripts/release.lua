-- Give a lease back, so that anyone may claim it at once. ARGV: consumer, place, partial record of
-- the group (empty if there is nothing new), and 1 if this lease counts as an attempt.
local stream, entry = at(ARGV[2])
if owns(ARGV[1], stream, entry) then
  local count = redis.call('XPENDING', stream, WORKERS, entry, entry, 1)[1][4]
  local lost = tonumber(ARGV[4])
  give_back(stream, entry, count - 1 + lost)
  if ARGV[3] ~= '' then
    redis.call('HSET', PARTIALS, ARGV[2], ARGV[3])
  end
  wake()
end
