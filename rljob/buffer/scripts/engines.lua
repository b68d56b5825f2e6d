-- Forgets the engines whose heartbeat is too old; returns id and record of the others in turn.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local live = {}
local all = redis.call('HGETALL', ENGINES)
for i = 1, #all, 2 do
  local expiry, record = string.match(all[i + 1], '^(%d+) (.*)$')
  if tonumber(expiry) > now then
    live[#live + 1] = all[i]
    live[#live + 1] = record
  else
    redis.call('HDEL', ENGINES, all[i])
  end
end
return live
