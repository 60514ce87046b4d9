"""What our scripts enter in RQ's books is what RQ's own worker enters there."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from redis import Redis
from redis.client import Pipeline
from rq.executions import Execution
from rq.job import Job

from pipeline.queue import JobQueue, bookkeeping
from pipeline.queue.jobs import RESULT_SECONDS
from pipeline.store import Batch
from tests.integration.letters import fetch

AT = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
LATER = datetime(2026, 3, 4, 5, 6, 8, 12_000, tzinfo=UTC)
SILENCE = 660
WORKER = "worker-1"
BATCHES = [Batch.of("tickets.apply", [f"e{number}@acme/desk"], "actions") for number in range(3)]

Books = dict[str, tuple[Any, float]]
"""By key, what it holds, and in how many seconds it ends."""


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be the same moment for RQ and for us, and the next name be the same."""
    for module in ("rq.executions", "rq.job", "pipeline.queue.bookkeeping"):
        monkeypatch.setattr(f"{module}.now", lambda: AT)
    for module in ("rq.executions", "rq.registry"):
        monkeypatch.setattr(f"{module}.current_timestamp", lambda: int(AT.timestamp()))
    for module in ("rq.executions", "pipeline.queue.bookkeeping"):
        monkeypatch.setattr(f"{module}.uuid4", lambda: UUID(int=7))


@pytest.fixture
def jobs(redis_server: Redis) -> list[Job]:
    """Jobs that have been taken from their lane."""
    JobQueue(redis_server).enqueue(BATCHES)
    redis_server.delete("rq:queue:actions")
    found = [fetch(redis_server, batch.id) for batch in BATCHES]
    return [job for job in found if job is not None]


def books(redis: Redis) -> Books:
    """All that Redis holds of RQ's."""
    return {
        key.decode(): (_held(redis, key), redis.ttl(key)) for key in redis.scan_iter(match="rq:*")
    }


def _held(redis: Redis, key: bytes) -> Any:
    match redis.type(key):
        case b"hash":
            return redis.hgetall(key)
        case b"zset":
            return redis.zrange(key, 0, -1, withscores=True)
        case b"stream":
            return [fields for _, fields in redis.xrange(key)]
        case b"set":
            return redis.smembers(key)
        case other:
            raise AssertionError(f"{key!r} is a {other!r}")


def anew(redis: Redis, books_before: Books) -> None:
    """Go back to these books."""
    redis.flushdb()
    JobQueue(redis).enqueue(BATCHES)
    redis.delete("rq:queue:actions")
    for key, (held, ttl) in books_before.items():
        if isinstance(held, dict):
            redis.delete(key)
            redis.hset(key, mapping=held)
            if ttl > 0:
                redis.expire(key, ttl)


def same_books(mine: Books, theirs: Books) -> None:
    """The same keys, with the same in them, that end at the same time but for a second."""
    assert mine.keys() == theirs.keys()
    for key, (held, ttl) in mine.items():
        assert held == theirs[key][0], key
        assert abs(ttl - theirs[key][1]) <= 1, key


def rq_begins(jobs: list[Job], pipe: Pipeline) -> list[Execution]:
    """As RQ's worker does before it runs a job."""
    executions = []
    for job in jobs:
        executions.append(Execution.create(job, SILENCE, pipe, worker_name=WORKER))
        job.prepare_for_execution(WORKER, pipeline=pipe)
    return executions


def rq_ends(job: Job, execution: Execution, pipe: Pipeline, *, finished: bool) -> None:
    """As RQ's worker does after it has run a job; jobs of ours depend on none."""
    execution.delete(job, pipeline=pipe)
    if finished:
        job.ended_at = LATER
        # What RQ's worker calls, it being of the same package.
        job._result = None  # noqa: SLF001
        job._handle_success(RESULT_SECONDS, pipeline=pipe, worker_name=WORKER)  # noqa: SLF001
        pipe.expire(job.key, RESULT_SECONDS)


def test_jobs_begin_as_with_rqs_own_worker(jobs: list[Job], redis_server: Redis) -> None:
    """Key by key, field by field."""
    before = books(redis_server)
    with redis_server.pipeline() as pipe:
        rq_begins(jobs, pipe)
        pipe.execute()
    theirs = books(redis_server)
    anew(redis_server, before)
    with redis_server.pipeline() as pipe:
        assert bookkeeping.begin(jobs, "actions", WORKER, SILENCE, pipe) == UUID(int=7).hex
        pipe.execute()
    same_books(books(redis_server), theirs)
    assert len(theirs) > len(before)


@pytest.mark.parametrize("count", [0, 2, 3])
def test_jobs_end_as_with_rqs_own_worker(
    jobs: list[Job], redis_server: Redis, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Those that have finished, and those whose end is told elsewhere."""
    before = books(redis_server)
    with redis_server.pipeline() as pipe:
        executions = rq_begins(jobs, pipe)
        monkeypatch.setattr("rq.registry.current_timestamp", lambda: int(LATER.timestamp()))
        for number, (job, execution) in enumerate(zip(jobs, executions, strict=True)):
            rq_ends(job, execution, pipe, finished=number < count)
        pipe.execute()
    theirs = books(redis_server)
    anew(redis_server, before)
    with redis_server.pipeline() as pipe:
        run = bookkeeping.begin(jobs, "actions", WORKER, SILENCE, pipe)
        bookkeeping.end(jobs[:count], jobs[count:], "actions", WORKER, run, LATER, pipe)
        pipe.execute()
    same_books(books(redis_server), theirs)


def test_of_a_job_that_redis_has_lost_no_half_is_left(jobs: list[Job], redis_server: Redis) -> None:
    """Neither by its beginning nor by its end: RQ could not read it."""
    redis_server.flushdb()
    with redis_server.pipeline() as pipe:
        run = bookkeeping.begin(jobs, "actions", WORKER, SILENCE, pipe)
        bookkeeping.end(jobs, [], "actions", WORKER, run, LATER, pipe)
        pipe.execute()
    assert books(redis_server) == {}


def test_a_run_is_one_command_at_each_end_however_many_jobs_it_has(
    jobs: list[Job], redis_server: Redis
) -> None:
    """What Redis does within them costs the worker nothing."""
    redis_server.config_resetstat()
    with redis_server.pipeline(transaction=False) as pipe:
        run = bookkeeping.begin(jobs, "actions", WORKER, SILENCE, pipe)
        bookkeeping.end(jobs, [], "actions", WORKER, run, LATER, pipe)
        assert len(pipe) == 2
        pipe.execute()
    assert redis_server.info("commandstats")["cmdstat_eval"]["calls"] == 2
