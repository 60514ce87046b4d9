-- Adds counts of a process to the totals of all, and keeps the last of what only the last is
-- wanted of. One command, however much was counted.
--
-- KEYS[1]  hash of totals
-- KEYS[2]  hash of last values
-- ARGV[1]  totals, as one text: field, number, field, number, … with char 30 between them
-- ARGV[2…] field, value, field, value, …
--
-- Sums have a decimal point, and may grow beyond what a whole number holds. A field that can't be
-- added to is passed over: what goes wrong with a count must not keep the lanes from their jobs.
-- A server that takes no writes at all is told as ever.
local function pass_over_its_own_fault(reply)
  if type(reply) == 'table' and reply.err
      and not (reply.err:find('^ERR ') or reply.err:find('^WRONGTYPE')) then
    error(reply.err)
  end
end

for field, number in ARGV[1]:gmatch('([^\30]+)\30([^\30]+)') do
  local add = number:find('.', 1, true) and 'HINCRBYFLOAT' or 'HINCRBY'
  pass_over_its_own_fault(redis.pcall(add, KEYS[1], field, number))
end
for i = 2, #ARGV, 2 do
  pass_over_its_own_fault(redis.pcall('HSET', KEYS[2], ARGV[i], ARGV[i + 1]))
end
