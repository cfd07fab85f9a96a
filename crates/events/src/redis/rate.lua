-- The generic cell rate algorithm, on the clock of the server. KEYS[1] holds the time, in
-- microseconds, at which all counted uses are paid off; ARGV[1] is the number of uses in a minute.
-- Returns 0 when the use is admitted, else after how many microseconds one will be.
local MINUTE = 60000000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.pcall('GET', KEYS[1])
local paid_at = type(stored) == 'string' and tonumber(stored) or now
-- A use leaves a time within the next minute. Any other value counts as none, for example a forged one, or
-- one from before the clock was set back.
if paid_at ~= paid_at or paid_at < now or paid_at > now + MINUTE then
  paid_at = now
end
paid_at = paid_at + MINUTE / tonumber(ARGV[1])
local wait = math.ceil(paid_at - MINUTE - now)
if wait > 0 then
  return wait
end
local left = math.max(1, math.ceil((paid_at - now) / 1000))
redis.call('SET', KEYS[1], string.format('%.0f', paid_at), 'PX', string.format('%.0f', left))
return 0
