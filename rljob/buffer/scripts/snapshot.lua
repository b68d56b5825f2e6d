-- Data for the trainer's check that nothing is lost: incarnation, version and phase; alternating
-- engine ids and versions; ids of the registered engines; ids of the groups.
return {
  redis.call('HMGET', STATE, 'incarnation', 'version', 'phase'),
  redis.call('HGETALL', VERSIONS),
  redis.call('HKEYS', ENGINES),
  redis.call('HKEYS', GROUPS),
}
