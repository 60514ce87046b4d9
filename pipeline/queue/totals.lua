-- Adds counts of a process to the totals of all, and keeps the last of what only the last is
-- wanted of. One command, however much was counted.
--
-- KEYS[1]  hash of totals
-- KEYS[2]  hash of last values
-- ARGV[1]  how many totals follow
-- ARGV[2…] field, number, field, number, …; and then field, value, field, value, …
local last = 2 * tonumber(ARGV[1]) + 1
for i = 2, last, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
end
for i = last + 1, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
