-- Precedes every script. KEYS are all keys of the job, in the order of keys.py.
local STATE, GROUPS, TRAIN, EVALUATION, SAMPLES, ENGINES, VERSIONS, PARTIALS, WAKE = unpack(KEYS)
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

-- Whether an engine holds the published weights: with older ones it gets no work.
local function admitted(engine)
  return published() >= 0 and tonumber(redis.call('HGET', VERSIONS, engine) or -1) >= published()
end

-- Id and record in turn of the engines whose heartbeat is not too old; the others are forgotten.
local function live()
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local found = {}
  local all = redis.call('HGETALL', ENGINES)
  for i = 1, #all, 2 do
    local expiry, record = string.match(all[i + 1], '^(%d+) (.*)$')
    if tonumber(expiry) > now then
      found[#found + 1] = all[i]
      found[#found + 1] = record
    else
      redis.call('HDEL', ENGINES, all[i])
    end
  end
  return found
end

-- Where another run than `run` is at work under this job's name: live engines hold its weights.
-- nil: there is none; what a run that was killed has left is no other run's concern, nor are keys
-- without an owner, as earlier versions wrote them.
local function rival(run)
  local owner = redis.call('HMGET', STATE, 'run', 'place')
  if (owner[1] or '') == '' or owner[1] == run then
    return nil
  end
  local engines = live()
  for i = 1, #engines, 2 do
    if redis.call('HEXISTS', VERSIONS, engines[i]) == 1 then
      return owner[2] or ''
    end
  end
  return nil
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

-- A consumer's lease becomes one that anyone may claim; `count` are the attempts that it keeps.
local function give_back(stream, entry, count)
  redis.call('XCLAIM', stream, WORKERS, RELEASED, 0, entry, 'TIME', 0, 'RETRYCOUNT', count, 'JUSTID')
end

-- For scripts that must run in a server whose memory is full, and that add a few bytes at most.
-- A full server refuses a command that needs memory unless the script has written before; this
-- writes nothing. Flags of a script say the same since Redis 7; 6.2 has none.
local function although_full()
  redis.call('HDEL', STATE, '')
end

-- Empties the exchange. The engines' registry stays: they outlive a trainer.
local function reset()
  redis.call('DEL', GROUPS, TRAIN, EVALUATION, SAMPLES, VERSIONS, PARTIALS)
  redis.call('XGROUP', 'CREATE', TRAIN, WORKERS, '0', 'MKSTREAM')
  redis.call('XGROUP', 'CREATE', EVALUATION, WORKERS, '0', 'MKSTREAM')
end

-- Workers that wait look again.
local function wake()
  redis.call('XADD', WAKE, 'MAXLEN', 1, '*', 'changed', '')
end
