-- Heartbeat of an engine. ARGV: engine id, its record, milliseconds until it expires.
-- The server's clock is used, so that the clocks of pods need not agree.
although_full()
local time = redis.call('TIME')
local expiry = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]
redis.call('HSET', ENGINES, ARGV[1], string.format('%.0f ', expiry) .. ARGV[2])
