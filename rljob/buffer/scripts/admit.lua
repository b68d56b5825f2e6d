-- Admit groups. ARGV: incarnation, then group id, kind and record of each.
-- Returns the stored incarnation; if it is not the caller's, nothing was done.
-- A known group, open or completed, is left unchanged. Groups may fill half of the memory: the
-- other half is for completions, without which a full server could never be emptied.
local stored = incarnation()
if stored ~= tonumber(ARGV[1]) then
  return stored
end
local function has_room()
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then
    return true  -- this user may not run INFO
  end
  local limit = tonumber(string.match(info, 'maxmemory:(%d+)'))
  return limit == 0 or tonumber(string.match(info, 'used_memory:(%d+)')) < limit / 2
end
for i = 2, #ARGV, 3 do
  local id, kind, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if redis.call('HEXISTS', GROUPS, id) == 0 then
    if not has_room() then
      return redis.error_reply('OOM half of the memory is in use')
    end
    local entry = redis.call('XADD', STREAMS[kind], '*', 'group', record)
    redis.call('HSET', GROUPS, id, kind .. ' ' .. entry)
  end
end
-- Each dead worker leaves a consumer; delete those that own nothing and were idle for an hour.
for _, stream in pairs(STREAMS) do
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, WORKERS)) do
    local of = {}
    for i = 1, #consumer, 2 do
      of[consumer[i]] = consumer[i + 1]
    end
    if of.pending == 0 and of.idle > 3600000 then
      redis.call('XGROUP', 'DELCONSUMER', stream, WORKERS, of.name)
    end
  end
end
wake()
return stored
