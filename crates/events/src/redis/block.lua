local now, blocked_until = tonumber(ARGV[1]), tonumber(ARGV[2])
local stored = tonumber(redis.call('HGET', KEYS[1], 'until')) or 0
if blocked_until > stored and blocked_until > now then
  redis.call('HSET', KEYS[1], 'until', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', blocked_until - now))
end
return stored <= now and 1 or 0
