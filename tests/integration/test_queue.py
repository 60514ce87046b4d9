"""The lanes on a real Redis: what a job carries, what is refused, and what survives a wipe."""

import json
import zlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from pipeline import jobs
from pipeline.declarations import Lane
from pipeline.errors import Unavailable
from pipeline.executor import Executor
from pipeline.queue import BatchWorker, Heartbeats, JobQueue, connect, fetch
from pipeline.store import Batch
from pipeline.sweeping import Sweep, sweep
from tests.integration.harness import Document, Harness, fact
from tests.integration.sample_handlers import broken

LANES = list(Lane)
ONE = Batch.of("tickets.apply", ["e1@acme/desk", "e2@acme/desk"], "actions")
TWO = Batch.of("owners.count", ["e1@acme/desk"], "observers")


@pytest.fixture
def lanes(redis_server: Redis) -> JobQueue:
    """Give the lanes on an empty Redis."""
    return JobQueue(redis_server)


class OnRedis(Harness):
    """The harness with RQ in place of its deque."""

    def __init__(self, client: MongoClient[Document], name: str, redis: Redis) -> None:
        super().__init__(client, name)
        self.redis = redis
        self.lanes = JobQueue(redis)
        self.heartbeats = Heartbeats(redis, 10)

    def hand_over(self) -> None:
        """Enqueue what the deque holds."""
        self.lanes.enqueue(list(self.waiting))
        self.waiting.clear()

    def work(self) -> None:
        """Run all jobs in a worker that ends when the lanes are empty."""
        jobs.bind(
            Executor(
                self.store,
                self.registry,
                self.clock,
                self.settings,
                worker="burst",
                enqueue=self.lanes.enqueue,
            )
        )
        worker = BatchWorker(self.redis, name="burst", lanes=LANES)
        worker.work(burst=True, logging_level="CRITICAL")

    def sweep(self) -> Sweep:
        """One pass of the sweeper, when all that waits is overdue."""
        self.clock.advance(timedelta(hours=1))
        return sweep(self.store, self.lanes, self.heartbeats, self.clock, self.settings)


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Iterator[OnRedis]:
    """Give the sample handlers on real servers."""
    broken.clear()
    yield OnRedis(mongo, database.name, redis_server)
    broken.clear()


def raw_job(redis: Redis, batch: Batch) -> dict[str, Any]:
    """What Redis holds for a job."""
    return {name.decode(): value for name, value in redis.hgetall(Job.key_for(batch.id)).items()}


def test_a_job_carries_json_and_ids_only(lanes: JobQueue, redis_server: Redis) -> None:
    """Handler, batch and event keys; no pickle, no payload."""
    assert lanes.enqueue([ONE])
    data = json.loads(zlib.decompress(raw_job(redis_server, ONE)["data"]))
    assert data == ["pipeline.jobs.run", None, [ONE.handler, ONE.id, list(ONE.events)], {}]


def test_a_job_goes_to_the_lane_of_its_handler(lanes: JobQueue) -> None:
    """Observers and actions wait apart."""
    lanes.enqueue([ONE, TWO])
    assert lanes.lengths() == {"actions": 1, "observers": 1}


def test_enqueueing_nothing_is_no_error(lanes: JobQueue) -> None:
    """The common end of a chain."""
    assert lanes.enqueue([])
    assert lanes.lengths() == {"actions": 0, "observers": 0}


def test_enqueueing_again_makes_no_second_job(pipeline: OnRedis) -> None:
    """There is one job under the batch's id, and running it has one effect."""
    pipeline.submit(fact("e1", add=1))
    batch = pipeline.waiting[0]
    for _ in range(3):
        pipeline.lanes.enqueue([batch])
    assert len(pipeline.redis.keys("rq:job:*")) == 1
    pipeline.work()
    assert pipeline.document("tickets", "acme:T1")["points"] == 1
    assert pipeline.document("tenant_totals", "acme")["tickets"] == 1


def test_every_job_waits_and_ends_with_a_time_to_live(pipeline: OnRedis) -> None:
    """Nothing in Redis grows for ever: not jobs, results or failures."""
    pipeline.process(fact("e0"))
    good, bad = fact("e1", entity_id="T2"), fact("e2", entity_id="T3")
    broken.add(("tickets.apply", "e2"))
    pipeline.submit(good)
    pipeline.submit(bad)
    done, failed = pipeline.waiting
    pipeline.hand_over()
    waiting = fetch(pipeline.redis, done.id)
    assert waiting is not None
    assert waiting.ttl
    assert waiting.result_ttl
    assert waiting.failure_ttl
    pipeline.work()
    for batch in (done, failed):
        assert 0 < pipeline.redis.ttl(Job.key_for(batch.id)) <= 30 * 24 * 3600
        assert 0 < pipeline.redis.ttl(f"rq:results:{batch.id}") <= 30 * 24 * 3600


def test_a_worker_runs_an_event_through_its_whole_chain(pipeline: OnRedis) -> None:
    """The action a job, its two observers one, the observer of an observer one."""
    event = fact("e1", status="open")
    pipeline.submit(event)
    pipeline.hand_over()
    pipeline.work()
    assert set(pipeline.states(event).values()) == {"done"}
    rows = pipeline.store.records.ledger.of_event(event.key)
    assert (len(rows), len({row.job for row in rows})) == (4, 3)


def test_a_failed_event_is_a_failed_job_with_its_cause(pipeline: OnRedis) -> None:
    """RQ's own tools show it, and the sweeper puts the same job back."""
    broken.add(("tickets.apply", "e1"))
    event = fact("e1")
    pipeline.submit(event)
    (batch,) = pipeline.waiting
    pipeline.hand_over()
    pipeline.work()
    queue = Queue("actions", connection=pipeline.redis, serializer=JSONSerializer)
    assert FailedJobRegistry(queue=queue).get_job_ids(cleanup=False) == [batch.id]
    job = fetch(pipeline.redis, batch.id)
    assert job is not None
    result = job.latest_result()
    assert result is not None
    assert "told to fail on e1" in str(result.exc_string)
    broken.clear()
    assert pipeline.sweep().enqueued == 1
    assert FailedJobRegistry(queue=queue).get_job_ids(cleanup=False) == []
    pipeline.work()
    assert pipeline.states(event)["tickets.apply"] == "done"


@pytest.mark.parametrize("function", ["os.getpid", "pipeline.jobs.bind", "subprocess.run"])
def test_a_job_that_names_another_function_is_refused(redis_server: Redis, function: str) -> None:
    """It is never imported or called; it lands in the failed registry, saying why."""
    queue = Queue("actions", connection=redis_server, serializer=JSONSerializer)
    job = queue.enqueue_call(function, args=(["touch"],), job_id="bad")
    BatchWorker(redis_server, name="burst", lanes=LANES).work(burst=True, logging_level="CRITICAL")
    assert FailedJobRegistry(queue=queue).get_job_ids(cleanup=False) == ["bad"]
    result = job.latest_result()
    assert result is not None
    assert "JobRefused" in str(result.exc_string)


def test_a_worker_outside_of_the_pipeline_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an executor a job says which command runs it."""
    monkeypatch.setattr(jobs, "_bound", [])
    with pytest.raises(Exception, match="pipeline worker"):
        jobs.run(ONE.handler, ONE.id, list(ONE.events))


def test_missing_finds_the_batches_that_no_job_stands_for(
    lanes: JobQueue, redis_server: Redis
) -> None:
    """Neither queued nor in the hands of a live worker."""
    three = Batch.of("pages.count", ["e3@acme/desk"], "actions")
    lanes.enqueue([ONE])
    assert lanes.missing([ONE, TWO, three], live={three.id}) == [TWO]
    redis_server.flushall()
    assert lanes.missing([ONE, TWO, three], live=set()) == [ONE, TWO, three]


def test_the_sweeper_rebuilds_redis_after_a_wipe(pipeline: OnRedis) -> None:
    """Wiped at every step, everything still finishes."""
    events = [fact(f"e{n}", n, entity_id=f"T{n}", status="open") for n in range(5)]
    pipeline.submit(*events)
    pipeline.hand_over()
    while not pipeline.store.records.batches.idle():
        pipeline.redis.flushall()
        assert pipeline.sweep().enqueued > 0
        pipeline.work()
    assert pipeline.document("tenant_totals", "acme")["tickets"] == 5
    assert all(set(pipeline.states(event).values()) == {"done"} for event in events)


def test_the_sweeper_enqueues_nothing_that_has_a_job(pipeline: OnRedis) -> None:
    """What is queued, or running in a live worker, is left alone."""
    pipeline.submit(fact("e1"))
    pipeline.submit(fact("e2", type="page.viewed", page="home"))
    queued, running = pipeline.waiting
    pipeline.lanes.enqueue([queued])
    pipeline.heartbeats.beat("worker-1", running.id)
    assert pipeline.sweep() == Sweep(due=2, enqueued=0)
    pipeline.heartbeats.stop("worker-1")
    assert pipeline.sweep() == Sweep(due=2, enqueued=1)


def test_the_sweeper_leaves_alone_what_is_not_due(pipeline: OnRedis) -> None:
    """A batch just enqueued is given time to be picked up."""
    pipeline.submit(fact("e1"))
    now = sweep(
        pipeline.store, pipeline.lanes, pipeline.heartbeats, pipeline.clock, pipeline.settings
    )
    assert now == Sweep(0, 0)


def test_a_redis_that_is_away_is_told_by_the_return_value(redis_url: str) -> None:
    """Enqueueing is allowed to fail: the outbox keeps what it did not take."""
    nowhere = Redis.from_url("redis://127.0.0.1:1/0")
    assert not JobQueue(nowhere).enqueue([ONE])
    with pytest.raises(Unavailable, match="does not answer"):
        connect("redis://127.0.0.1:1/0", timeout_seconds=0.5)


def test_heartbeats_tell_who_runs_what_and_expire(redis_server: Redis) -> None:
    """The lease is a key that Redis itself lets go."""
    heartbeats = Heartbeats(redis_server, 10)
    heartbeats.beat("worker@host:1", "job-1")
    heartbeats.beat("worker@host:2", None)
    assert heartbeats.running() == {"worker@host:1": "job-1", "worker@host:2": ""}
    assert 0 < redis_server.ttl(Heartbeats.PREFIX + "worker@host:1") <= 10
    heartbeats.stop("worker@host:1")
    assert heartbeats.running() == {"worker@host:2": ""}


def test_executions_of_workers_that_are_gone_are_forgotten(
    lanes: JobQueue, redis_server: Redis
) -> None:
    """Those of live workers stay."""
    queue = Queue("actions", connection=redis_server, serializer=JSONSerializer)
    started = StartedJobRegistry(queue=queue)
    redis_server.zadd(started.key, {"gone:1": 1, "live:2": 1})
    assert lanes.forget_dead_executions({"live"}) == 1
    assert redis_server.zrange(started.key, 0, -1) == [b"live:2"]


def test_rq_takes_a_batch_id_as_a_job_id() -> None:
    """Letters, digits, dashes and underscores are what RQ allows; ids are hexadecimal."""
    assert int(ONE.id, 16) >= 0
    Job.create("pipeline.jobs.run", id=ONE.id, connection=Redis())
    with pytest.raises(ValueError, match="must only contain"):
        Job.create("pipeline.jobs.run", id="e1@acme/desk|x", connection=Redis())


def test_rq_reads_the_started_registry_without_changing_it_when_told_so(
    redis_server: Redis,
) -> None:
    """With its clean-up it would fail jobs that the sweeper runs again."""
    queue = Queue("actions", connection=redis_server, serializer=JSONSerializer)
    started = StartedJobRegistry(queue=queue)
    redis_server.zadd(started.key, {"old:1": 1})
    assert started.get_job_ids(cleanup=False) == ["old"]
    assert redis_server.zrange(started.key, 0, -1) == [b"old:1"]
    assert FailedJobRegistry(queue=queue).get_job_ids(cleanup=False) == []
