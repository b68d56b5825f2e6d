-- Prepended to every script. KEYS are all keys of the job, in the order of keys.py.
local STATE, GROUPS, TRAIN, EVALUATION, SAMPLES, ENGINES, VERSIONS, PARTIALS, LOGS, WAKE =
  unpack(KEYS)
local STREAMS = {train = TRAIN, evaluation = EVALUATION}
-- The consumer group of both streams of groups; a pending entry is a lease.
local WORKERS = 'workers'
-- Consumer that owns groups that were given back; no worker has its name, its leases are expired.
local RELEASED = 'released'

-- The run's incarnation; 0 if the server does not know the run.
local function incarnation()
  return tonumber(redis.call('HGET', STATE, 'incarnation') or 0)
end

-- The published weight version; -1 if there is none.
local function published()
  return tonumber(redis.call('HGET', STATE, 'version') or -1)
end

-- Whether an engine holds the published weights; with older weights it gets no work.
local function admitted(engine)
  return published() >= 0 and tonumber(redis.call('HGET', VERSIONS, engine) or -1) >= published()
end

-- Alternating ids and records of the engines that have not expired; expired ones are removed.
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

-- The place of a run other than `run` that is active under this job's name, which means that live
-- engines hold its weights. nil: there is none; keys that a killed run left behind do not count, nor
-- do keys without an owner, from earlier versions.
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

-- Stream and entry of a place, "kind entry-id"; the stream is nil if it is not a place.
local function at(place)
  local kind, entry = string.match(place or '', '^(%a+) (%d+%-%d+)$')
  return STREAMS[kind or ''], entry
end

local function owns(consumer, stream, entry)
  return redis.call('EXISTS', stream) == 1
    and redis.call('XPENDING', stream, WORKERS, entry, entry, 1, consumer)[1] ~= nil
end

-- Make a lease claimable by anyone at once; `count` is its number of attempts.
local function give_back(stream, entry, count)
  redis.call('XCLAIM', stream, WORKERS, RELEASED, 0, entry, 'TIME', 0, 'RETRYCOUNT', count, 'JUSTID')
end

-- For scripts that must run even if the server is full, and that add only a few bytes. A full
-- server refuses a command that needs memory unless the script has written before; this is such a
-- write, without an effect. Redis 7 has script flags for this, 6.2 does not.
local function although_full()
  redis.call('HDEL', STATE, '')
end

-- Empty the buffer. The registry of engines stays, and output that was not read: they outlive a
-- trainer. Output is accepted while its stream exists.
local function reset()
  redis.call('DEL', GROUPS, TRAIN, EVALUATION, SAMPLES, VERSIONS, PARTIALS)
  redis.call('XGROUP', 'CREATE', TRAIN, WORKERS, '0', 'MKSTREAM')
  redis.call('XGROUP', 'CREATE', EVALUATION, WORKERS, '0', 'MKSTREAM')
  if redis.call('EXISTS', LOGS) == 0 then
    redis.call('XGROUP', 'CREATE', LOGS, WORKERS, '0', 'MKSTREAM')
  end
end

-- Wake up waiting workers.
local function wake()
  redis.call('XADD', WAKE, 'MAXLEN', 1, '*', 'changed', '')
end
