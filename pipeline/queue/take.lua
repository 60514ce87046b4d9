-- Reads a job that a worker has popped, and takes small jobs of the same handler with it.
--
-- Many small batches waiting in a line are run in one transaction, so that a burst of single
-- events is worked off like one large batch. Only the head of the lane is looked at, so jobs
-- stay in their order. Whoever dies with jobs in hand loses none: the outbox knows them.
--
-- Where a few events are all that the lane holds, and another worker is at a few of that handler,
-- they are left to it: one run of both costs hardly more than one of either.
--
-- KEYS[1]  list of the lane's job ids
-- KEYS[2]  there while a worker is at a few events of this handler
-- ARGV[1]  prefix of the keys of job hashes
-- ARGV[2]  id of the popped job
-- ARGV[3]  what the ids of jobs that may come with it begin with; empty: none may
-- ARGV[4]  how many events there is room for
-- ARGV[5]  how many are a few; 0: nothing is left to others
-- ARGV[6]  for how many milliseconds whoever takes a few has the next ones to himself
-- returns  whether the next ones are left to who takes these, then id and fields, id and fields, ...
--          of the jobs that exist, the popped one first; where it was put back, for how many
--          milliseconds at most it is to be left
local function events(id)
  return tonumber(string.match(id, '^%x+%-(%d+)%-') or '')
end

-- Whether this job and all that wait in the lane are a few events.
local function few(most)
  local total = events(ARGV[2]) or most + 1
  for _, id in ipairs(total < most and redis.call('LRANGE', KEYS[1], 0, most - 1) or {}) do
    total = total + (events(id) or most + 1)
  end
  return total <= most
end

local taken = {0}

local function read(id)
  local fields = redis.call('HGETALL', ARGV[1] .. id)
  if #fields > 0 then
    taken[#taken + 1] = id
    taken[#taken + 1] = fields
  end
end

read(ARGV[2])
if #taken == 1 then
  return taken
end
if few(tonumber(ARGV[5])) then
  if not redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[6]) then
    redis.call('LPUSH', KEYS[1], ARGV[2])
    return math.max(1, redis.call('PTTL', KEYS[2]))
  end
  taken[1] = 1
end
local prefix, room = ARGV[3], tonumber(ARGV[4])
while prefix ~= '' and room > 0 do
  local id = redis.call('LINDEX', KEYS[1], 0)
  if not id or string.sub(id, 1, #prefix) ~= prefix then
    break
  end
  local count = events(id)
  if not count or count > room then
    break
  end
  redis.call('LPOP', KEYS[1])
  read(id)
  room = room - count
end
return taken
