local now, till = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = tonumber(redis.call('HGET', KEYS[1], 'until')) or 0
if till > held and till > now then
  redis.call('HSET', KEYS[1], 'until', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', till - now))
end
return held <= now and 1 or 0
