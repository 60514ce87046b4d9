"""The lanes on a real Redis: what a job carries, what is refused, and what survives a wipe."""

import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.registry import (
    BaseRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.results import Result
from rq.serializers import JSONSerializer

from pipeline import jobs
from pipeline.declarations import Lane
from pipeline.errors import PipelineError, Unavailable
from pipeline.event import Event
from pipeline.queue import BatchWorker, Heartbeats, JobQueue, Report, connect
from pipeline.queue.jobs import Shelved
from pipeline.queue.room import Room
from pipeline.queue.worker import Run
from pipeline.reporting import report
from pipeline.store import Batch, LedgerRow
from pipeline.sweeping import Sweep
from tests.facts import NOON, Document, fact
from tests.integration.harness import Harness
from tests.integration.letters import fetch
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
        burst(self.redis, lambda batches: report(self.executor.run(batches)))

    def sweep(self, after: timedelta = timedelta(hours=1)) -> Sweep:
        """One pass of the sweeper, when all that waits is overdue."""
        self.clock.advance(after)
        return self.sweeper_of(self.redis, self.lanes, self.heartbeats).sweep()


def burst(redis: Redis, run: Run) -> None:
    """Run all jobs in a worker that ends when the lanes are empty."""
    worker_of(redis, run).work(burst=True, logging_level="CRITICAL")


def worker_of(redis: Redis, run: Run) -> BatchWorker:
    """A worker of all lanes."""
    return BatchWorker(
        redis, name="burst", lanes=LANES, run=run, room=500, heartbeats=Heartbeats(redis, 10)
    )


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
    assert data == ["pipeline.jobs.run", None, [ONE.handler, ONE.id, list(ONE.events), 0, 0], {}]


def test_a_job_says_since_when_it_waits(lanes: JobQueue, redis_server: Redis) -> None:
    """How long that was is measured by it, and RQ's own tools show it."""
    lanes.enqueue([ONE])
    job = fetch(redis_server, ONE.id)
    assert job is not None
    assert job.enqueued_at is not None
    assert job.created_at <= job.enqueued_at


def test_a_job_goes_to_the_lane_of_its_handler(lanes: JobQueue) -> None:
    """Observers and actions wait apart."""
    lanes.enqueue([ONE, TWO])
    assert lanes.lengths() == {"actions": 1, "observers": 1, "effects": 0, "repair": 0}


def test_enqueueing_nothing_is_no_error(lanes: JobQueue) -> None:
    """The common end of a chain."""
    assert lanes.enqueue([])
    assert lanes.lengths() == {"actions": 0, "observers": 0, "effects": 0, "repair": 0}


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


def actions_lane(redis: Redis) -> Queue:
    """The lane as RQ's own tools see it."""
    return Queue("actions", connection=redis, serializer=JSONSerializer)


def shelf(redis: Redis, registry: type[BaseRegistry]) -> list[str]:
    """Job ids in a registry of the lane of actions."""
    return registry(queue=actions_lane(redis)).get_job_ids(cleanup=False)


def test_an_event_that_will_be_retried_is_a_scheduled_job_with_its_cause(
    pipeline: OnRedis,
) -> None:
    """RQ's own tools show when, and why; the sweeper puts the same job back."""
    broken.add(("tickets.apply", "e1"))
    event = fact("e1")
    pipeline.submit(event)
    (batch,) = pipeline.waiting
    pipeline.hand_over()
    pipeline.work()
    assert shelf(pipeline.redis, ScheduledJobRegistry) == [batch.id]
    job = fetch(pipeline.redis, batch.id)
    assert job is not None
    assert job.get_status() == "scheduled"
    result = job.latest_result()
    assert result is not None
    assert "told to fail on e1" in str(result.exc_string)
    broken.clear()
    assert pipeline.sweep().enqueued == 1
    assert shelf(pipeline.redis, ScheduledJobRegistry) == []
    pipeline.work()
    assert pipeline.states(event)["tickets.apply"] == "done"


def test_a_dead_letter_is_a_failed_job_that_rq_can_requeue(pipeline: OnRedis) -> None:
    """One of a batch of three; its neighbours are done, and requeueing it is enough."""
    broken.add(("tickets.apply", "e1"))
    events = [fact(f"e{n}", entity_id=f"T{n}") for n in range(3)]
    pipeline.submit(*events)
    pipeline.hand_over()
    pipeline.work()
    while pipeline.sweep().enqueued:
        pipeline.work()
    assert [pipeline.states(event)["tickets.apply"] for event in events] == ["done", "dead", "done"]
    (dead,) = shelf(pipeline.redis, FailedJobRegistry)
    job = fetch(pipeline.redis, dead)
    assert job is not None
    result = job.latest_result()
    assert result is not None
    assert "told to fail on e1" in str(result.exc_string)
    broken.clear()
    FailedJobRegistry(queue=actions_lane(pipeline.redis)).requeue(dead)
    pipeline.work()
    assert pipeline.states(events[1])["tickets.apply"] == "done"
    assert shelf(pipeline.redis, FailedJobRegistry) == []


def test_small_jobs_of_one_handler_are_run_together(pipeline: OnRedis) -> None:
    """In one transaction, up to the room there is; each is a finished job of its own."""
    events = [fact(f"e{n}", n, entity_id=f"T{n}") for n in range(7)]
    for event in events:
        pipeline.submit(event)
    ids = [batch.id for batch in pipeline.waiting]
    pipeline.hand_over()
    runs: list[int] = []

    def run(batches: Sequence[Batch]) -> Report:
        if batches[0].handler == "tickets.apply":
            runs.append(len(batches))
        return report(pipeline.executor.run(batches))

    worker = BatchWorker(
        pipeline.redis, name="w", lanes=LANES, run=run, room=3, heartbeats=pipeline.heartbeats
    )
    worker.work(burst=True, logging_level="CRITICAL")
    assert runs == [3, 3, 1]
    assert [row.job for event in events for row in ledger_of(pipeline, event)] == ids
    assert set(shelf(pipeline.redis, FinishedJobRegistry)) == set(ids)
    assert pipeline.document("tenant_totals", "acme")["tickets"] == 7


@pytest.mark.parametrize("fails", [False, True], ids=["done", "failed"])
def test_jobs_run_together_count_each_and_their_time_counts_once(
    lanes: JobQueue, redis_server: Redis, *, fails: bool
) -> None:
    """What RQ shows of a worker is what it did, and how long it worked."""
    batches = [Batch.of("tickets.apply", [f"e{n}@a/d"], "actions") for n in range(3)]
    lanes.enqueue(batches)
    runs: list[int] = []

    def run(batches: Sequence[Batch]) -> Report:
        runs.append(len(batches))
        if fails:
            raise RuntimeError("told to fail")
        return Report()

    burst(redis_server, run)
    assert runs == [3]
    shown = {
        name.decode(): value for name, value in redis_server.hgetall("rq:worker:burst").items()
    }
    one = fetch(redis_server, batches[0].id)
    assert one is not None
    assert one.ended_at is not None
    assert one.started_at is not None
    assert float(shown["total_working_time"]) == (one.ended_at - one.started_at).total_seconds()
    assert shown["failed_job_count" if fails else "successful_job_count"] == b"3"


def ledger_of(pipeline: OnRedis, event: Event) -> list[LedgerRow]:
    """What the fold did for the event."""
    rows = pipeline.store.records.ledger.of_event(event.key)
    return [row for row in rows if row.handler == "tickets.apply"]


def test_only_jobs_of_the_same_handler_next_in_line_are_taken_together(
    lanes: JobQueue, redis_server: Redis
) -> None:
    """Nobody is overtaken, and nothing larger than the room there is comes along."""
    one, two, three = (Batch.of("tickets.apply", [f"e{n}@a/d"], "actions") for n in range(3))
    other = Batch.of("pages.count", ["e9@a/d"], "actions")
    large = Batch.of("tickets.apply", [f"x{n}@a/d" for n in range(9)], "actions")
    lanes.enqueue([one, two, other, three, large])
    runs: list[list[str]] = []

    def run(batches: Sequence[Batch]) -> Report:
        runs.append([batch.id for batch in batches])
        return Report()

    worker = BatchWorker(
        redis_server,
        name="w",
        lanes=LANES,
        run=run,
        room=5,
        heartbeats=Heartbeats(redis_server, 10),
    )
    worker.work(burst=True, logging_level="CRITICAL")
    assert runs == [[one.id, two.id], [other.id], [three.id], [large.id]]


def test_a_failing_event_among_small_jobs_fails_alone(pipeline: OnRedis) -> None:
    """The others of the transaction are done."""
    broken.add(("tickets.apply", "e1"))
    events = [fact(f"e{n}", n, entity_id=f"T{n}") for n in range(3)]
    for event in events:
        pipeline.submit(event)
    pipeline.hand_over()
    pipeline.work()
    states = [pipeline.states(event)["tickets.apply"] for event in events]
    assert states == ["done", "retrying", "done"]
    assert len(shelf(pipeline.redis, ScheduledJobRegistry)) == 1


def test_a_lane_holds_no_more_jobs_than_it_may_and_everything_is_done(
    pipeline: OnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit waits in the outbox; the sweeper brings it when there is room."""
    monkeypatch.setattr("pipeline.queue.room.LOOK_SECONDS", 0.0)
    pipeline.lanes = JobQueue(pipeline.redis)
    pipeline.lanes._room = Room(pipeline.lanes.lengths, most=3)  # noqa: SLF001 - a small one
    events = [fact(f"e{n}", n, entity_id=f"T{n}") for n in range(10)]
    for event in events:
        pipeline.submit(event)
    pipeline.hand_over()
    assert pipeline.lanes.lengths()["actions"] == 3
    longest = 0
    while not pipeline.store.records.batches.idle():
        pipeline.sweep()
        longest = max(longest, *pipeline.lanes.lengths().values())
        pipeline.work()
    assert longest == 3
    assert pipeline.document("tenant_totals", "acme")["tickets"] == 10


def test_jobs_go_back_to_the_head_of_their_lane_while_mongodb_is_away(
    lanes: JobQueue, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not their fault: none of them fails, and they keep their order."""
    monkeypatch.setattr("pipeline.queue.worker.PAUSE_SECONDS", 0)
    batches = [Batch.of("tickets.apply", [f"e{n}@a/d"], "actions") for n in range(3)]
    lanes.enqueue(batches)

    def run(_batches: Sequence[Batch]) -> Report:
        raise Unavailable("MongoDB did not answer")

    worker = BatchWorker(
        redis_server,
        name="w",
        lanes=LANES,
        run=run,
        room=2,
        heartbeats=Heartbeats(redis_server, 10),
    )
    worker.work(burst=True, logging_level="CRITICAL", max_jobs=1)
    assert actions_lane(redis_server).get_job_ids() == [batch.id for batch in batches]
    assert shelf(redis_server, FailedJobRegistry) == []
    assert shelf(redis_server, StartedJobRegistry) == []


Ending = Callable[[Batch], Report]


def follow_itself(other: Batch) -> Report:
    """It is to be run again at once."""
    return Report(following=[other])


def wait_for_a_moment(other: Batch) -> Report:
    """It is to be run again at a moment."""
    return Report(shelved=[Shelved(other, NOON, "not yet")])


def fail(_other: Batch) -> Report:
    """Of a fault of ours."""
    raise RuntimeError("told to fail")


def lose_mongodb(_other: Batch) -> Report:
    """For a while."""
    raise Unavailable("MongoDB did not answer")


@pytest.mark.parametrize(
    ("ending", "one", "other", "failed"),
    [
        (follow_itself, "finished", "queued", 0),
        (wait_for_a_moment, "finished", "scheduled", 0),
        (fail, "failed", "failed", 2),
        (lose_mongodb, "queued", "queued", 0),
    ],
)
def test_of_jobs_run_together_rq_shows_what_became_of_each(
    lanes: JobQueue,
    redis_server: Redis,
    monkeypatch: pytest.MonkeyPatch,
    *,
    ending: Ending,
    one: str,
    other: str,
    failed: int,
) -> None:
    """And none of them as started; only what has finished has a result without a fault."""
    monkeypatch.setattr("pipeline.queue.worker.PAUSE_SECONDS", 0)
    batches = [Batch.of("tickets.apply", [f"e{n}@a/d"], "actions") for n in range(2)]
    lanes.enqueue(batches)
    worker_of(redis_server, lambda _batches: ending(batches[1])).work(
        burst=True, logging_level="CRITICAL", max_jobs=1
    )
    jobs = [fetch(redis_server, batch.id) for batch in batches]
    shown = [job.get_status().value for job in jobs if job is not None]
    assert shown == [one, other]
    finished = [b.id for b, status in zip(batches, shown, strict=True) if status == "finished"]
    assert shelf(redis_server, FinishedJobRegistry) == finished
    assert len(shelf(redis_server, FailedJobRegistry)) == failed
    assert shelf(redis_server, StartedJobRegistry) == []
    assert redis_server.keys("rq:execution*") == []
    succeeded = [
        job.id
        for job in jobs
        if job is not None
        for result in job.results()
        if result.type is Result.Type.SUCCESSFUL
    ]
    assert succeeded == finished


@pytest.mark.parametrize("function", ["os.getpid", "pipeline.jobs.refuse", "subprocess.run"])
def test_a_job_that_names_another_function_is_refused(redis_server: Redis, function: str) -> None:
    """It is never imported or called; it lands in the failed registry, saying why."""
    queue = Queue("actions", connection=redis_server, serializer=JSONSerializer)
    job = queue.enqueue_call(function, args=(["touch"],), job_id="bad")
    burst(redis_server, never)
    assert FailedJobRegistry(queue=queue).get_job_ids(cleanup=False) == ["bad"]
    result = job.latest_result()
    assert result is not None
    assert "JobRefused" in str(result.exc_string)


def test_a_job_whose_id_does_not_match_its_events_is_refused(
    lanes: JobQueue, redis_server: Redis
) -> None:
    """Nobody can make a batch done by naming other events."""
    lanes.enqueue([replace(ONE, events=ONE.events[:1])])
    burst(redis_server, never)
    queue = Queue("actions", connection=redis_server, serializer=JSONSerializer)
    assert FailedJobRegistry(queue=queue).get_job_ids(cleanup=False) == [ONE.id]


def never(batches: Sequence[Batch]) -> Report:
    """Fail the test: nothing was to be run."""
    raise AssertionError(batches)


def test_a_worker_outside_of_the_pipeline_is_told_so() -> None:
    """The job says which command runs it."""
    with pytest.raises(PipelineError, match="pipeline worker"):
        jobs.run(ONE.handler, ONE.id, list(ONE.events), 0, 0)


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
    pipeline.heartbeats.beat("worker-1", [running.id])
    assert pipeline.sweep() == Sweep(due=2, enqueued=0)
    pipeline.heartbeats.stop("worker-1")
    assert pipeline.sweep() == Sweep(due=2, enqueued=1)


def test_the_sweeper_leaves_alone_what_is_not_due(pipeline: OnRedis) -> None:
    """A batch just enqueued is given time to be picked up."""
    pipeline.submit(fact("e1"))
    assert pipeline.sweep(after=timedelta(0)) == Sweep(0, 0)


def test_a_redis_that_is_away_is_told_by_the_return_value(redis_url: str) -> None:
    """Enqueueing is allowed to fail: the outbox keeps what it did not take."""
    nowhere = Redis.from_url("redis://127.0.0.1:1/0")
    assert not JobQueue(nowhere).enqueue([ONE])
    with pytest.raises(Unavailable, match="does not answer"):
        connect("redis://127.0.0.1:1/0", timeout_seconds=0.5)


def test_heartbeats_tell_who_runs_what_and_expire(redis_server: Redis) -> None:
    """The lease is a key that Redis itself lets go."""
    heartbeats = Heartbeats(redis_server, 10)
    heartbeats.beat("worker@host-1", ["job-1"])
    heartbeats.beat("worker@host-2", [])
    assert heartbeats.running() == {"worker@host-1": ["job-1"], "worker@host-2": []}
    assert 0 < redis_server.ttl(Heartbeats.PREFIX + "worker@host-1") <= 10
    heartbeats.stop("worker@host-1")
    assert heartbeats.running() == {"worker@host-2": []}


def test_executions_of_workers_that_are_gone_are_forgotten(
    lanes: JobQueue, redis_server: Redis
) -> None:
    """Those of live workers stay."""
    queue = Queue("actions", connection=redis_server, serializer=JSONSerializer)
    started = StartedJobRegistry(queue=queue)
    redis_server.zadd(started.key, {"one:1": 1, "two:2": 1, "three:3": 1})
    redis_server.hset("rq:execution:one:1", "worker_name", "gone")
    redis_server.hset("rq:execution:two:2", "worker_name", "live")
    assert sorted(lanes.orphaned(lanes.started(), {"live"})) == ["one", "three"]
    assert redis_server.zrange(started.key, 0, -1) == [b"two:2"]
    assert lanes.orphaned(lanes.started(), {"live"}) == []


def test_a_worker_that_begins_while_the_sweeper_looks_has_not_died(
    pipeline: OnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is missing among the live ones, and stands among what was started a moment later."""
    running = pipeline.heartbeats.running
    queue = Queue("actions", connection=pipeline.redis, serializer=JSONSerializer)
    registry = StartedJobRegistry(queue=queue).key

    def begins() -> dict[str, list[str]]:
        before = running()
        pipeline.heartbeats.beat("new", ["one"])
        pipeline.redis.zadd(registry, {"one:1": 1})
        pipeline.redis.hset("rq:execution:one:1", "worker_name", "new")
        return before

    monkeypatch.setattr(pipeline.heartbeats, "running", begins)
    assert pipeline.sweep().deaths == 0
    assert pipeline.redis.zrange(registry, 0, -1) == [b"one:1"]


def test_an_orphan_is_told_to_one_who_asks(lanes: JobQueue, redis_server: Redis) -> None:
    """Though two have seen it stand there."""
    queue = Queue("actions", connection=redis_server, serializer=JSONSerializer)
    redis_server.zadd(StartedJobRegistry(queue=queue).key, {"one:1": 1})
    seen = lanes.started()
    assert lanes.orphaned(seen, set()) == ["one"]
    assert lanes.orphaned(seen, set()) == []


def test_rq_takes_a_batch_id_as_a_job_id() -> None:
    """Letters, digits, dashes and underscores are what RQ allows."""
    assert re.fullmatch(r"[0-9a-f]{8}-2-[0-9a-f]{20}", ONE.id)
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
