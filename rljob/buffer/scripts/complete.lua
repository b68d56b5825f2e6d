-- A group is done. ARGV: incarnation, group id, token of this completion, record.
-- Returns 1 for the first completion of an open group, also when it is repeated (its reply was
-- lost); 0 for any other, which changes nothing.
if incarnation() ~= tonumber(ARGV[1]) then
  return 0
end
local place = redis.call('HGET', GROUPS, ARGV[2])
if place == 'done ' .. ARGV[3] then
  return 1
end
local stream, entry = at(place)
if not stream then
  return 0
end
-- XADD comes first: it is the one that a full server refuses, before anything has changed.
redis.call('XADD', SAMPLES, '*', 'completion', ARGV[4])
redis.call('XACK', stream, WORKERS, entry)
redis.call('XDEL', stream, entry)
redis.call('HDEL', PARTIALS, place)
-- The trainer's acknowledgement takes it out.
redis.call('HSET', GROUPS, ARGV[2], 'done ' .. ARGV[3])
return 1
