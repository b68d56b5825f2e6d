-- Restore the run's state after the server lost all or part of it.
-- ARGV: incarnation, version, phase, run, place, then alternating engine ids and versions.
-- Returns the current incarnation, which is another's if a newer trainer has started.
local stored, mine = incarnation(), tonumber(ARGV[1])
if stored > mine then
  return stored
end
if stored < mine then
  reset()
end
although_full()
redis.call('HSET', STATE, 'incarnation', mine, 'version', ARGV[2], 'phase', ARGV[3],
  'run', ARGV[4], 'place', ARGV[5])
redis.call('DEL', VERSIONS)
for i = 6, #ARGV, 2 do
  redis.call('HSET', VERSIONS, ARGV[i], ARGV[i + 1])
end
wake()
return mine
