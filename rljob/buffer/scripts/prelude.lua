-- Precedes every script. KEYS are all keys of the job, in the order of keys.py.
local STATE, GROUPS, TRAIN, EVALUATION, SAMPLES, ENGINES, VERSIONS, WAKE = unpack(KEYS)
local STREAMS = {train = TRAIN, evaluation = EVALUATION}
-- The consumer group of both streams of groups; a pending entry is a lease.
local WORKERS = 'workers'
-- Consumer that owns what was given back; no worker has its name, and its leases have lapsed.
local RELEASED = 'released'

-- The run's incarnation; 0 where the server knows nothing of the run.
local function incarnation()
  return tonumber(redis.call('HGET', STATE, 'incarnation') or 0)
end

-- The published weight version; -1 where there is none.
local function published()
  return tonumber(redis.call('HGET', STATE, 'version') or -1)
end

-- A place is "kind entry-id": where in which stream a group stands. nil where it is none.
local function at(place)
  local kind, entry = string.match(place or '', '^(%a+) (%d+%-%d+)$')
  return STREAMS[kind or ''], entry
end

local function owns(consumer, stream, entry)
  return redis.call('EXISTS', stream) == 1
    and redis.call('XPENDING', stream, WORKERS, entry, entry, 1, consumer)[1] ~= nil
end

-- Empties the exchange. The engines' registry stays: they outlive a trainer.
local function reset()
  redis.call('DEL', GROUPS, TRAIN, EVALUATION, SAMPLES, VERSIONS)
  redis.call('XGROUP', 'CREATE', TRAIN, WORKERS, '0', 'MKSTREAM')
  redis.call('XGROUP', 'CREATE', EVALUATION, WORKERS, '0', 'MKSTREAM')
end

-- Workers that wait look again.
local function wake()
  redis.call('XADD', WAKE, 'MAXLEN', 1, '*', 'changed', '')
end
