-- What the trainer compares with what it has put in: incarnation, version and phase; engine id and
-- version in turn; ids of the registered engines; ids of the groups.
return {
  redis.call('HMGET', STATE, 'incarnation', 'version', 'phase'),
  redis.call('HGETALL', VERSIONS),
  redis.call('HKEYS', ENGINES),
  redis.call('HKEYS', GROUPS),
}
