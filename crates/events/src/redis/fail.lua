local now = tonumber(ARGV[1])
local text = function(number) return string.format('%.0f', number) end
for index, key in ipairs(KEYS) do
  local at = 4 * index - 2
  local free, first = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local longest, memory = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local stored = redis.call('HMGET', key, 'failures', 'last', 'until')
  local failures, last = tonumber(stored[1]) or 0, tonumber(stored[2]) or now
  local blocked_until = tonumber(stored[3]) or now
  if now - last >= memory then
    failures, blocked_until = 0, now
  end
  failures = failures + 1
  if failures > free then
    local delay = math.min(first * 2 ^ (failures - free - 1), longest)
    blocked_until = math.max(blocked_until, now + delay)
  end
  redis.call('HSET', key, 'failures', text(failures), 'last', text(now), 'until', text(blocked_until))
  redis.call('PEXPIRE', key, text(memory))
end
