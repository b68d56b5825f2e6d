-- Remove an engine. ARGV: engine id.
redis.call('HDEL', ENGINES, ARGV[1])
redis.call('HDEL', VERSIONS, ARGV[1])
