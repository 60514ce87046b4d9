-- Enters in RQ's books that a worker has begun some jobs of one lane, as RQ's own worker does.
-- One command, however many jobs there are. A job that Redis has lost meanwhile gets no half of one.
--
-- RQ keeps the list of a job's runs a minute longer than the run itself.
--
-- KEYS[1]  sorted set of the lane's jobs that have begun
-- ARGV[1]  the worker's name
-- ARGV[2]  what RQ is to call this run of them
-- ARGV[3]  the moment, as RQ writes moments
-- ARGV[4]  the moment, in seconds
-- ARGV[5]  after how many seconds of silence the worker counts as gone
-- ARGV[6…] ids of the jobs
local worker, run, moment = ARGV[1], ARGV[2], ARGV[3]
local seconds, ttl = tonumber(ARGV[4]), tonumber(ARGV[5])
for i = 6, #ARGV do
  local id = ARGV[i]
  local execution, runs, job = 'rq:execution:' .. id .. ':' .. run, 'rq:executions:' .. id, 'rq:job:' .. id
  redis.call('HSET', execution, 'id', run, 'created_at', ARGV[4], 'last_heartbeat', ARGV[4], 'worker_name', worker)
  redis.call('EXPIRE', execution, ttl)
  redis.call('ZADD', runs, math.floor(seconds) + ttl + 60, run)
  redis.call('EXPIRE', runs, ttl + 60)
  redis.call('ZADD', KEYS[1], math.floor(seconds) + ttl, id .. ':' .. run)
  if redis.call('EXISTS', job) == 1 then
    redis.call('HSET', job, 'status', 'started', 'started_at', moment, 'last_heartbeat', moment, 'worker_name', worker)
  end
end
