--[[
Leases on many keys at once, and the lines of those who wait for them.

All that must happen in one step happens here; Python only puts keys and arguments in order.
Redis runs a script alone, from its first line to its last, so nobody takes a key between our
look and our write. Needs no command newer than Redis 6.2.

What is kept
  pipeline:fence        the last fence given, as decimal text; it never expires.
  pipeline:lock:<key>   "<since> <owner>", with the lease's time to live. `since` is the fence
                        under which this owner began to hold the key without a break.
  pipeline:line:<key>   a sorted set: ticket -> place, counted from 1. It disappears with its
                        last ticket, or `line_ms` after the last one joined. While the key is
                        free, asked for, and not taken by the ticket whose turn it is, the set
                        also holds the member '' with minus the microsecond since when: before
                        all places, so no place moves.

Fences
  A fence is greater than all given before it: the last one plus 1, the server's clock in
  microseconds since 1970, or the caller's floor plus 1, whichever is greatest. The counter
  alone would start again after a wipe; the clock carries it on, since nobody takes a million
  leases a second for long. Where a new Redis has a clock that is behind, who meets a higher
  fence in MongoDB passes it as the floor, and is above it.
  Lua's numbers are doubles, whole up to 2^53; microseconds are near 2^51 until the year 2041
  and pass 2^53 in 2255. What would not be exact is refused. Fences travel as text: Lua's own
  conversion keeps 14 digits.

Who holds a key
  Owner and fence together name a hold. A key is still held under a lease if its owner is the
  lease's and its `since` is not after the lease's fence. So who lost a key and took it anew
  is told so by a renewal of the old lease: another may have held it in between. Who takes a
  key it still holds keeps `since`, and both its leases hold.

When Redis is wiped, at any moment
  All keys are free and all lines empty. Who believed to hold a key is told by the next
  renewal; until then two may work on it, and MongoDB's transactions and the fence decide.
  Nothing here takes a missing entry for more than "nobody has it". A caller that repeats a
  call whose answer was lost does no harm: taking, joining, leaving and giving back can all be
  done twice.

Lines
  With a ticket, a key is given only to the ticket first in its line; a key without a line
  goes to who comes first, as after a wipe. Who is refused joins the line, at its end if it is
  not in it, so that its turn comes. A ticket keeps its place while it holds the key, and a
  crash does not cost it the place.
  A ticket whose batch is gone must not block for ever. When a key was free and asked for over
  `patience_ms`, and the ticket whose turn it was did not take it, that ticket is dropped; to
  those behind it a tenth of the patience is given, until somebody takes the key. The time of
  a holder does not count, nor the time before the first who asked in vain, so a batch that is
  long in RQ's queue keeps its place.

Calls: ARGV[1] names one of the operations below.
]]

local EXACT = 9007199254740991 -- 2^53 - 1, the last whole number a double is sure of

local function text(number)
  return string.format('%.0f', number)
end

local function microseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Calls a command on many keys, with no more at a time than Lua can hand over; what it answers,
-- where that is a list, all together.
local function on_all(command, keys)
  local found = {}
  for start = 1, #keys, 1000 do
    local some = redis.call(command, unpack(keys, start, math.min(start + 999, #keys)))
    if type(some) == 'table' then
      for offset = 1, #some do
        found[start + offset - 1] = some[offset]
      end
    end
  end
  return found
end

-- What a lock holds: its owner and since which fence; nothing where it is free.
local function holder_of(value)
  if value then
    local since, owner = string.match(value, '^(%d+) (.*)$')
    return owner, tonumber(since)
  end
end

local function holds(value, owner, fence)
  local holder, since = holder_of(value)
  return holder == owner and since <= fence
end

-- The ticket whose turn it is, or nil where nobody waits.
local function first(line)
  return redis.call('ZRANGEBYSCORE', line, 0, '+inf', 'LIMIT', 0, 1)[1]
end

-- Stand at the end of a line; who stands in it keeps its place.
local function join(line, ticket, line_ms)
  local last = tonumber(redis.call('ZREVRANGE', line, 0, 0, 'WITHSCORES')[2] or 0)
  redis.call('ZADD', line, 'NX', text(math.max(0, last) + 1), ticket)
  redis.call('PEXPIRE', line, line_ms)
end

-- The ticket that keeps ours waiting for a free key, or nil where it is our turn. Drops the
-- first one if the key has been idle for too long.
local function ahead(line, ticket, now, patience)
  local head = first(line)
  if not head or head == ticket then
    return nil
  end
  local since = redis.call('ZSCORE', line, '')
  local idle = since and now + tonumber(since)
  if not idle or idle < 0 then -- asked for the first time, or the clock went back
    redis.call('ZADD', line, text(-now), '')
    return head
  end
  if idle < patience then
    return head
  end
  redis.call('ZREM', line, head)
  redis.call('ZADD', line, text(math.floor(0.9 * patience) - now), '')
  head = first(line)
  return head ~= ticket and head or nil
end

local operations = {}

-- Take every key that is free or ours already, under one new fence.
--   KEYS  the fence; the locks; with a ticket the line of each lock, in the same order
--   ARGV  owner, ttl_ms, floor, ticket or '', patience_ms, line_ms
--   Returns the fence as text, then for each key not taken: its number from 1, who has it,
--   and 1 where that is a ticket whose turn it is and 0 where it is a holder.
function operations.take()
  local owner, ttl_ms, ticket, line_ms = ARGV[2], ARGV[3], ARGV[5], ARGV[7]
  local floor, patience = tonumber(ARGV[4]), tonumber(ARGV[6]) * 1000
  local now = microseconds()
  local last = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
  local fence = math.max(last + 1, now, floor + 1)
  if fence > EXACT then
    return redis.error_reply('FENCE beyond 2^53: a clock or a floor is wrong')
  end
  redis.call('SET', KEYS[1], text(fence))

  local ordered = ticket ~= ''
  local count = (#KEYS - 1) / (ordered and 2 or 1)
  local locks = {}
  for number = 1, count do
    locks[number] = KEYS[1 + number]
  end
  local values = on_all('MGET', locks)
  local ours = text(fence) .. ' ' .. owner
  local answer = {text(fence)}
  local function refuse(number, by, waiting)
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = number, by, waiting
  end
  for number = 1, count do
    local lock, line = locks[number], KEYS[1 + count + number]
    local holder = holder_of(values[number])
    if holder == owner then
      redis.call('PEXPIRE', lock, ttl_ms)
    elseif holder then
      refuse(number, holder, 0)
      if ordered then
        join(line, ticket, line_ms)
        redis.call('ZREM', line, '') -- the key is not idle
      end
    else
      local before = ordered and ahead(line, ticket, now, patience)
      if before then
        refuse(number, before, 1)
        join(line, ticket, line_ms)
      else
        redis.call('SET', lock, ours, 'PX', ttl_ms)
        if ordered then
          redis.call('ZREM', line, '')
        end
      end
    end
  end
  return answer
end

-- Let what is still held under a lease live on; returns the numbers of the keys that are not.
--   KEYS  the locks          ARGV  owner, fence, ttl_ms
function operations.renew()
  local owner, fence, ttl_ms = ARGV[2], tonumber(ARGV[3]), ARGV[4]
  local lost, values = {}, on_all('MGET', KEYS)
  for number, lock in ipairs(KEYS) do
    if holds(values[number], owner, fence) then
      redis.call('PEXPIRE', lock, ttl_ms)
    else
      lost[#lost + 1] = number
    end
  end
  return lost
end

-- Give back what is still held under a lease; what is another's stays.
--   KEYS  the locks          ARGV  owner, fence
function operations.release()
  local owner, fence = ARGV[2], tonumber(ARGV[3])
  local held, values = {}, on_all('MGET', KEYS)
  for number, lock in ipairs(KEYS) do
    if holds(values[number], owner, fence) then
      held[#held + 1] = lock
    end
  end
  on_all('DEL', held)
end

-- Put a ticket at the end of lines.
--   KEYS  the lines          ARGV  ticket, line_ms
function operations.enlist()
  for _, line in ipairs(KEYS) do
    join(line, ARGV[2], ARGV[3])
  end
end

-- Give a ticket's places to another ticket; where it has none, the other joins at the end. Who
-- stands in a line already gets the better of both places.
--   KEYS  the lines          ARGV  ticket, the other ticket, line_ms
function operations.hand_on()
  local ticket, other, line_ms = ARGV[2], ARGV[3], ARGV[4]
  for _, line in ipairs(KEYS) do
    local place = redis.call('ZSCORE', line, ticket)
    if not place then
      join(line, other, line_ms)
    elseif other ~= ticket then
      -- In this order: a line that is empty for a moment would lose its time to live.
      redis.call('ZADD', line, 'LT', place, other)
      redis.call('ZREM', line, ticket)
    end
  end
end

-- Put another ticket right behind a ticket; where that has no place, the other joins at the end.
-- Who stands before it already stays there.
--   KEYS  the lines          ARGV  ticket, the other ticket, line_ms
function operations.follow()
  local ticket, other, line_ms = ARGV[2], ARGV[3], ARGV[4]
  for _, line in ipairs(KEYS) do
    local place = redis.call('ZSCORE', line, ticket)
    if not place then
      join(line, other, line_ms)
    elseif other ~= ticket then
      for _, behind in ipairs(redis.call('ZRANGEBYSCORE', line, '(' .. place, '+inf')) do
        redis.call('ZINCRBY', line, 1, behind)
      end
      redis.call('ZADD', line, 'LT', text(tonumber(place) + 1), other)
    end
  end
end

-- Take a ticket out of lines.
--   KEYS  the lines          ARGV  ticket
function operations.leave()
  for _, line in ipairs(KEYS) do
    if first(line) == ARGV[2] then
      redis.call('ZREM', line, '') -- whoever comes next has its own patience
    end
    redis.call('ZREM', line, ARGV[2])
  end
end

return operations[ARGV[1]]()
