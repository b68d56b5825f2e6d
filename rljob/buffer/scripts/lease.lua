-- Lease groups for an engine. ARGV: engine id, consumer, count, milliseconds of a lease, maximum
-- bytes of the reply (the first group is returned whatever its size), then the places that the
-- consumer knows it owns.
-- Returns the id of the last wake-up, after which the worker may wait, and the leases: place,
-- record, count and partial record of each. The count is the number of workers that lost the group,
-- and this one; the partial record is empty if there is none.
local engine, consumer, count, lease = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local room = tonumber(ARGV[5])
local last = redis.call('XREVRANGE', WAKE, '+', '-', 'COUNT', 1)[1]
local leases = {}
local reply = {last and last[1] or '0-0', leases}

-- Checked here, because the worker's view may be out of date.
if redis.call('HGET', STATE, 'phase') ~= 'running' or not admitted(engine) then
  return reply
end

local known = {}
for i = 6, #ARGV do
  known[ARGV[i]] = true
end

local function hand_out(kind, entries)
  for _, entry in ipairs(entries) do
    local pending = redis.call('XPENDING', STREAMS[kind], WORKERS, entry[1], entry[1], 1)
    local place = kind .. ' ' .. entry[1]
    local partial = redis.call('HGET', PARTIALS, place) or ''
    room = room - #entry[2][2] - #partial
    if room < 0 and #leases > 0 then
      room = 0  -- smaller groups must not overtake it
      give_back(STREAMS[kind], entry[1], pending[1][4] - 1)
    else
      leases[#leases + 1] = {place, entry[2][2], pending[1][4], partial}
    end
  end
end

local engines = 0
local registered = live()
for i = 1, #registered, 2 do
  engines = engines + (admitted(registered[i]) and 1 or 0)
end

for _, kind in ipairs({'evaluation', 'train'}) do
  local stream = STREAMS[kind]
  -- First the groups that it owns without knowing, because a reply was lost.
  local owned = redis.call('XPENDING', stream, WORKERS, '-', '+', #ARGV + count, consumer)
  local held = 0
  for _, entry in ipairs(owned) do
    held = held + (entry[3] < tonumber(lease) and 1 or 0)
    if #leases < count and not known[kind .. ' ' .. entry[1]] then
      hand_out(kind, redis.call('XCLAIM', stream, WORKERS, consumer, 0, entry[1], 'RETRYCOUNT',
        entry[4]))
    end
  end
  -- Its share of the open groups, so that the first worker to ask does not leave the others idle; at
  -- least one, because another engine may never ask.
  local part = math.ceil(redis.call('XLEN', stream) / math.max(engines, 1)) - held
  local most = math.min(count, #leases + math.max(part, 1))
  -- Then groups that others gave back or whose lease expired: they have waited longest.
  local cursor = '0-0'
  repeat
    local want = most - #leases
    if want <= 0 then
      break
    end
    local claimed = redis.call('XAUTOCLAIM', stream, WORKERS, consumer, lease, cursor,
      'COUNT', want)
    cursor = claimed[1]
    hand_out(kind, claimed[2])
  until cursor == '0-0'
  local want = most - #leases
  if want > 0 then
    local read = redis.call('XREADGROUP', 'GROUP', WORKERS, consumer, 'COUNT', want,
      'STREAMS', stream, '>')
    hand_out(kind, read and read[1][2] or {})
  end
end
return reply
