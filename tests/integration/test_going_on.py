"""A worker that has folded events goes on with their observers: a job of its own, in no lane."""

from collections.abc import Sequence

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisAway
from rq.job import Job, JobStatus
from rq.registry import FinishedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from pipeline.declarations import Lane
from pipeline.errors import Unavailable
from pipeline.queue import BatchWorker, Heartbeats, JobQueue, Report
from pipeline.queue.jobs import batch_of
from pipeline.reporting import report
from pipeline.store import Batch
from tests.facts import Document, fact
from tests.integration.letters import Letters, fetch
from tests.integration.sample_handlers import broken

FOLD = Batch.of("tickets.apply", ["e1@acme/desk"], Lane.ACTIONS)
OBSERVERS = Batch.of("owners.count", ["e1@acme/desk"], Lane.OBSERVERS)
OTHERS = Batch.of("pages.count", ["e1@acme/desk"], Lane.OBSERVERS)
FOLLOWING = {FOLD.id: Report(following=[OBSERVERS])}


class Worker(BatchWorker):
    """A worker that notes what it runs, and what Redis knows meanwhile."""

    def __init__(
        self, redis: Redis, reports: dict[str, Report], lanes: Sequence[Lane] = tuple(Lane)
    ) -> None:
        self.ran: list[str] = []
        self.waiting: list[int] = []
        self.status: list[JobStatus | None] = []
        self.seconds_left: list[int] = []
        self.lives: list[dict[str, list[str]]] = []
        self._reports = reports
        heartbeats = Heartbeats(redis, 10)
        super().__init__(
            redis, name="w", lanes=lanes, run=self.note, room=500, heartbeats=heartbeats
        )
        self._observed = JobQueue(redis)

    def note(self, batches: Sequence[Batch]) -> Report:
        """Run nothing."""
        (batch,) = batches
        job = fetch(self.connection, batch.id)
        self.ran.append(batch.id)
        self.waiting.append(self._observed.lengths()["observers"])
        self.status.append(None if job is None else job.get_status())
        self.seconds_left.append(self.connection.ttl(Job.key_for(batch.id)))
        self.lives.append(Heartbeats(self.connection, 10).running())
        return self._reports.get(batch.id, Report())

    def burst(self, most: int | None = None) -> None:
        """Run what waits, up to so many jobs taken from lanes."""
        self.work(burst=True, logging_level="CRITICAL", max_jobs=most)


def test_observers_of_what_was_folded_are_run_next_and_wait_in_no_lane(
    redis_server: Redis,
) -> None:
    """RQ shows them as a job of their own: started by this worker, then finished."""
    lanes = JobQueue(redis_server)
    other = Batch.of("tickets.apply", ["e2@acme/desk"], Lane.ACTIONS, deaths=1)
    lanes.enqueue([FOLD, other])
    worker = Worker(redis_server, FOLLOWING)
    worker.burst()
    assert worker.ran == [FOLD.id, OBSERVERS.id, other.id]
    assert worker.waiting == [0, 0, 0]
    assert worker.status == [JobStatus.STARTED] * 3
    finished = FinishedJobRegistry("observers", redis_server, serializer=JSONSerializer)
    assert finished.get_job_ids() == [OBSERVERS.id]
    assert StartedJobRegistry("observers", redis_server).count == 0
    assert min(worker.seconds_left) > 0
    assert {queue.decode() for queue in redis_server.smembers("rq:queues")} == {
        "rq:queue:actions",
        "rq:queue:observers",
    }


def test_observers_that_were_taken_along_are_shown_as_a_job_that_has_finished(
    redis_server: Redis,
) -> None:
    """By the worker of the fold, in the time of the fold, and for as long as any other."""
    lanes = JobQueue(redis_server)
    lanes.enqueue([FOLD])
    worker = Worker(redis_server, {FOLD.id: Report(along=[OBSERVERS])})
    worker.burst()
    assert worker.ran == [FOLD.id]
    fold, along = fetch(redis_server, FOLD.id), fetch(redis_server, OBSERVERS.id)
    assert fold is not None
    assert along is not None
    assert batch_of(along) == OBSERVERS
    assert along.get_status() == JobStatus.FINISHED
    assert (along.started_at, along.ended_at) == (fold.started_at, fold.ended_at)
    assert along.worker_name == fold.worker_name == "w"
    assert redis_server.ttl(along.key) == redis_server.ttl(fold.key) > 0
    finished = FinishedJobRegistry("observers", redis_server, serializer=JSONSerializer)
    assert finished.get_job_ids() == [OBSERVERS.id]
    assert StartedJobRegistry("observers", redis_server).count == 0
    assert b"rq:queue:observers" in redis_server.smembers("rq:queues")
    assert redis_server.hget(worker.key, "successful_job_count") == b"2"
    assert set(lanes.lengths().values()) == {0}


def test_a_live_worker_says_that_it_runs_what_it_goes_on_with(redis_server: Redis) -> None:
    """So the sweeper knows that it is in hand, and whose it was when the worker dies."""
    JobQueue(redis_server).enqueue([FOLD])
    worker = Worker(redis_server, FOLLOWING)
    worker.burst()
    assert worker.lives == [{"w": [FOLD.id]}, {"w": [OBSERVERS.id]}]
    assert Heartbeats(redis_server, 10).running() == {"w": []}
    assert worker.running == ()


def test_of_several_that_follow_one_is_gone_on_with_and_the_rest_are_enqueued(
    redis_server: Redis,
) -> None:
    """Nothing is lost, and nothing is run twice."""
    lanes = JobQueue(redis_server)
    effect = Batch.of("mail.send", ["e1@acme/desk"], Lane.EFFECTS)
    lanes.enqueue([FOLD])
    worker = Worker(redis_server, {FOLD.id: Report(following=[effect, OBSERVERS, OTHERS])})
    worker.burst(1)
    assert worker.ran == [FOLD.id, OBSERVERS.id]
    assert lanes.lengths() == {"actions": 0, "observers": 1, "effects": 1, "repair": 0}
    assert lanes.missing([effect, OTHERS], set()) == []


@pytest.mark.parametrize(
    ("lanes", "batch"),
    [
        ([Lane.ACTIONS], OBSERVERS),
        (list(Lane), Batch.of(OBSERVERS.handler, OBSERVERS.events, Lane.OBSERVERS, 1)),
        (list(Lane), Batch.of(FOLD.handler, ["e3@acme/desk"], Lane.ACTIONS)),
    ],
    ids=["a worker of other lanes", "a batch that failed before", "a part of the same batch"],
)
def test_what_is_not_gone_on_with_waits_in_its_lane(
    redis_server: Redis, lanes: Sequence[Lane], batch: Batch
) -> None:
    """Its turn comes after what came before it."""
    queue = JobQueue(redis_server)
    queue.enqueue([FOLD])
    worker = Worker(redis_server, {FOLD.id: Report(following=[batch])}, lanes)
    worker.burst(1)
    assert worker.ran == [FOLD.id]
    assert queue.lengths()[batch.lane] == 1


def test_a_worker_that_was_told_to_stop_leaves_the_observers_to_others(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with the job it has begun."""
    lanes = JobQueue(redis_server)
    lanes.enqueue([FOLD])
    worker = Worker(redis_server, FOLLOWING)
    note = worker.note

    def stop(batches: Sequence[Batch]) -> Report:
        worker.handle_warm_shutdown_request()
        return note(batches)

    monkeypatch.setattr(worker, "_run", stop)
    worker.burst(1)
    assert worker.ran == [FOLD.id]
    assert lanes.lengths()["observers"] == 1


def test_observers_that_mongodb_is_away_for_go_to_the_head_of_their_lane(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if they had been taken from there."""
    monkeypatch.setattr("pipeline.queue.worker.PAUSE_SECONDS", 0)
    lanes = JobQueue(redis_server)
    lanes.enqueue([FOLD])
    worker = Worker(redis_server, FOLLOWING, [Lane.ACTIONS, Lane.OBSERVERS])
    note = worker.note

    def away(batches: Sequence[Batch]) -> Report:
        if batches[0].lane == Lane.OBSERVERS:
            lanes.enqueue([OTHERS])
            raise Unavailable("MongoDB did not answer")
        return note(batches)

    monkeypatch.setattr(worker, "_run", away)
    worker.burst(1)
    queue = next(one for one in worker.queues if one.name == Lane.OBSERVERS)
    assert queue.get_job_ids() == [OBSERVERS.id, OTHERS.id]
    assert StartedJobRegistry("observers", redis_server).count == 0


def test_observers_are_run_though_redis_was_not_told(
    mongo: MongoClient[Document],
    database: Database[Document],
    redis_server: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The outbox knows them, and their worker has them in hand: Redis is not needed for it."""
    broken.clear()
    pipeline = Letters(mongo, database.name, redis_server)
    event = fact("e1", owner="ann")
    pipeline.submit(event)
    pipeline.lanes.enqueue(list(pipeline.waiting))
    pipeline.waiting.clear()

    def away(*_: object, **__: object) -> None:
        raise RedisAway("gone")

    def run(batches: Sequence[Batch]) -> Report:
        outcome = pipeline.executor.run(batches)
        if batches[0].lane == Lane.ACTIONS:
            monkeypatch.setattr(Pipeline, "execute", away)
        else:
            monkeypatch.undo()
        return report(outcome)

    heartbeats = Heartbeats(redis_server, 10)
    lanes = [Lane.ACTIONS, Lane.OBSERVERS]
    worker = BatchWorker(
        redis_server, name="w", lanes=lanes, run=run, room=500, heartbeats=heartbeats
    )
    worker.work(burst=True, logging_level="CRITICAL", max_jobs=1)
    states = pipeline.states(event)
    assert {"tickets.apply", "owners.count", "tenants.count"} <= set(states)
    assert set(states.values()) == {"done"}
