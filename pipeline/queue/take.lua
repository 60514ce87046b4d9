-- Reads a job that a worker has popped, and takes small jobs of the same handler with it.
--
-- Many small batches waiting in a line are run in one transaction, so that a burst of single
-- events is worked off like one large batch. Only the head of the lane is looked at, so jobs
-- stay in their order. Whoever dies with jobs in hand loses none: the outbox knows them.
--
-- KEYS[1]  list of the lane's job ids
-- ARGV[1]  prefix of the keys of job hashes
-- ARGV[2]  id of the popped job
-- ARGV[3]  what the ids of jobs that may come with it begin with; empty: none may
-- ARGV[4]  how many events there is room for
-- returns  id and fields, id and fields, ... of the jobs that exist, the popped one first
local taken = {}

local function read(id)
  local fields = redis.call('HGETALL', ARGV[1] .. id)
  if #fields > 0 then
    taken[#taken + 1] = id
    taken[#taken + 1] = fields
  end
end

read(ARGV[2])
local prefix, room = ARGV[3], tonumber(ARGV[4])
while #taken > 0 and prefix ~= '' and room > 0 do
  local id = redis.call('LINDEX', KEYS[1], 0)
  if not id or string.sub(id, 1, #prefix) ~= prefix then
    break
  end
  local count = tonumber(string.match(id, '^%x+%-(%d+)%-') or '')
  if not count or count > room then
    break
  end
  redis.call('LPOP', KEYS[1])
  read(id)
  room = room - count
end
return taken
