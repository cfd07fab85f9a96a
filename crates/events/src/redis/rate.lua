-- The generic cell rate algorithm (ITU-T I.371) on the clock of the server. KEYS[1] holds the theoretical
-- arrival time in microseconds; ARGV[1] is the number of uses per minute. Returns 0 if the use is admitted,
-- else the time to wait in microseconds.
local MINUTE = 60000000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.pcall('GET', KEYS[1])
local arrival_at = type(stored) == 'string' and tonumber(stored) or now
-- The stored time is within the next minute. Any other value is ignored, such as a forged one or one from
-- before the clock was set back.
if arrival_at ~= arrival_at or arrival_at < now or arrival_at > now + MINUTE then
  arrival_at = now
end
arrival_at = arrival_at + MINUTE / tonumber(ARGV[1])
local wait = math.ceil(arrival_at - MINUTE - now)
if wait > 0 then
  return wait
end
local left = math.max(1, math.ceil((arrival_at - now) / 1000))
redis.call('SET', KEYS[1], string.format('%.0f', arrival_at), 'PX', string.format('%.0f', left))
return 0
