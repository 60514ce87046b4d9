-- Enters in RQ's books that jobs of one lane are at an end: the run is struck out, and what has
-- finished is shown as finished for a while, as RQ's own worker does. One command for all of them.
-- What Redis has lost meanwhile is not shown.
--
-- Striking out comes first: a Redis that is full still takes it, and what follows it.
--
-- KEYS[1]  sorted set of the lane's jobs that have begun
-- KEYS[2]  sorted set of the lane's jobs that have finished
-- ARGV[1]  the worker's name
-- ARGV[2]  what RQ calls the run
-- ARGV[3]  the moment, as RQ writes moments
-- ARGV[4]  when what has finished is forgotten, in seconds
-- ARGV[5]  in how many seconds that is
-- ARGV[6]  how many of the jobs have finished; the others' end is told elsewhere
-- ARGV[7…] ids of the jobs, those that have finished first
local worker, run, ttl, finished = ARGV[1], ARGV[2], ARGV[5], tonumber(ARGV[6])
for i = 7, #ARGV do
  local id = ARGV[i]
  redis.call('DEL', 'rq:execution:' .. id .. ':' .. run)
  redis.call('ZREM', 'rq:executions:' .. id, run)
  redis.call('ZREM', KEYS[1], id .. ':' .. run)
  local job, results = 'rq:job:' .. id, 'rq:results:' .. id
  if i - 6 <= finished and redis.call('EXISTS', job) == 1 then
    redis.call('HSET', job, 'status', 'finished', 'ended_at', ARGV[3])
    redis.call('EXPIRE', job, ttl)
    redis.call('XADD', results, 'MAXLEN', '~', '10', '*', 'type', '1', 'worker_name', worker)
    redis.call('EXPIRE', results, ttl)
    redis.call('ZADD', KEYS[2], ARGV[4], id)
  end
end
