-- Complete a group. ARGV: incarnation, group id, token of this completion, record.
-- Returns 1 for the first completion of an open group, also if it is retried because its reply was
-- lost; 0 for any other, which changes nothing.
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
-- XADD comes first: a full server refuses it, and then nothing has changed.
redis.call('XADD', SAMPLES, '*', 'completion', ARGV[4])
redis.call('XACK', stream, WORKERS, entry)
redis.call('XDEL', stream, entry)
redis.call('HDEL', PARTIALS, place)
-- The trainer's acknowledgement removes it.
redis.call('HSET', GROUPS, ARGV[2], 'done ' .. ARGV[3])
return 1
