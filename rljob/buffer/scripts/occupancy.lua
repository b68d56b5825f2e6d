-- Returns the groups that are not leased, that are leased, and that are completed.
local waiting, leased = 0, 0
for _, stream in pairs(STREAMS) do
  if redis.call('EXISTS', stream) == 1 then
    local pending = redis.call('XPENDING', stream, WORKERS)
    local owned = pending[1]
    for _, consumer in ipairs(pending[4] or {}) do
      if consumer[1] == RELEASED then
        owned = owned - tonumber(consumer[2])
      end
    end
    leased = leased + owned
    waiting = waiting + redis.call('XLEN', stream) - owned
  end
end
return {waiting, leased, redis.call('XLEN', SAMPLES)}
