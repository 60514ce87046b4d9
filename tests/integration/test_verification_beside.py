"""A verification keeps out of the way of live work."""

from collections.abc import Sequence

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipeline.clock import SystemClock
from pipeline.declarations import Lane
from pipeline.queue import BatchWorker, Heartbeats, JobQueue, Report, Traffic
from pipeline.queue.worker import Run
from pipeline.store import Batch
from pipeline.verification import HANDLER, Verifier
from pipeline.verification.pacing import BESIDE, LONGEST_REST, REFUSED_SECONDS, SHARE, rest
from tests.facts import Document
from tests.integration.verifying import Verifying, found, plant, told

LIVE = Batch.of("tickets.apply", ["e1@acme/desk"], Lane.ACTIONS)
UNIT = Batch.of(HANDLER, ["v/00001"], Lane.REPAIR)


@pytest.fixture
def traffic(redis_server: Redis) -> Traffic:
    """Give what knows of live work, on an empty Redis."""
    return Traffic(redis_server)


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], traffic: Traffic
) -> Verifying:
    """Give a pipeline in which a story has happened, whose verifier looks at the lanes."""
    pipeline = told(Verifying(mongo, database.name, max_attempts=2))
    pipeline.verifier = verifier(pipeline, traffic)
    return pipeline


def verifier(pipeline: Verifying, traffic: Traffic) -> Verifier:
    """One more worker's."""
    return Verifier(
        pipeline.store,
        pipeline.registry,
        SystemClock(),  # time passes, so a step takes some
        pipeline.settings,
        worker="verifier",
        traffic=traffic,
    )


def note(traffic: Traffic, redis: Redis) -> None:
    """A live job is taken."""
    with redis.pipeline() as pipe:
        traffic.note(pipe)
        pipe.execute()


def worker_of(redis: Redis, run: Run) -> BatchWorker:
    """A worker of all lanes, that for repairs before the others."""
    return BatchWorker(
        redis,
        name="worker",
        lanes=[Lane.REPAIR, *(lane for lane in Lane if lane is not Lane.REPAIR)],
        run=run,
        room=500,
        heartbeats=Heartbeats(redis, 10),
    )


def work(redis: Redis, *batches: Batch, rest_seconds: float = 0.0) -> list[str]:
    """Let a worker that rests after a unit take so many jobs, or as many as it will; which."""
    lanes = JobQueue(redis)
    lanes.enqueue(batches)
    ran: list[str] = []

    def run(batches: Sequence[Batch]) -> Report:
        ran.extend(batch.id for batch in batches)
        return Report(rest_seconds=rest_seconds if batches[0].lane == Lane.REPAIR else 0.0)

    worker = worker_of(redis, run)
    worker.work(max_jobs=len(batches), max_idle_time=1, logging_level="CRITICAL")
    return ran


def test_there_is_live_work_while_a_job_waits_or_shortly_after_one_was_taken(
    traffic: Traffic, redis_server: Redis
) -> None:
    """Jobs of the lane for repairs are none."""
    JobQueue(redis_server).enqueue([UNIT])
    assert not traffic.live()
    JobQueue(redis_server).enqueue([LIVE])
    assert traffic.live()
    redis_server.flushall()
    note(traffic, redis_server)
    assert traffic.live()
    assert 0 < redis_server.pttl(Traffic.LIVE) <= 1000


def test_a_worker_notes_live_jobs_and_no_others(traffic: Traffic, redis_server: Redis) -> None:
    """With what it tells Redis anyway, before it runs them."""
    live: list[bool] = []

    def run(_batches: Sequence[Batch]) -> Report:
        live.append(traffic.live())
        return Report()

    for batch in (UNIT, LIVE):
        JobQueue(redis_server).enqueue([batch])
        worker_of(redis_server, run).work(max_jobs=1, logging_level="CRITICAL")
    assert live == [False, True]


def test_a_turn_is_had_by_one_and_followed_by_a_rest(traffic: Traffic, redis_server: Redis) -> None:
    """Whoever else asks is refused, until both are over."""
    assert traffic.take_turn()
    assert not traffic.take_turn()
    traffic.end_turn(100.0)
    assert not traffic.take_turn()
    assert 99_000 < redis_server.pttl(Traffic.TURN) <= 100_000
    redis_server.delete(Traffic.TURN)
    assert traffic.take_turn()


def test_a_turn_of_a_worker_that_died_ends_by_itself(traffic: Traffic, redis_server: Redis) -> None:
    """Or no verification would go on beside live work any more."""
    assert traffic.take_turn()
    assert 0 < redis_server.pttl(Traffic.TURN) <= 10_000


def test_where_redis_is_away_there_may_be_live_work_and_no_turn_is_given() -> None:
    """The worker's own loop waits for it."""
    away = Traffic(Redis(port=1, retry=Retry(NoBackoff(), 0)))
    assert away.live()
    assert not away.take_turn()
    away.end_turn(1.0)


def test_beside_live_work_one_short_step_is_made_and_then_rested(
    pipeline: Verifying, traffic: Traffic, redis_server: Redis
) -> None:
    """It goes on where it was; all that is corrupt is found all the same."""
    planted = plant(pipeline, seed=1, count=8)
    name, waiting = pipeline.verifier.begin()
    events = turns = 0
    while waiting:
        note(traffic, redis_server)
        redis_server.delete(Traffic.TURN)
        unit = waiting.pop(0)
        turn = pipeline.verifier.run(unit)
        counted = sum(
            one.counts.get("events", 0) for one in pipeline.store.records.verifications.units(name)
        )
        assert counted - events <= 2 * BESIDE.events
        assert redis_server.pttl(Traffic.TURN) > 0
        assert turn.rest_seconds > 0
        events, turns = counted, turns + 1
        waiting += turn.following
    assert turns > len(pipeline.asked_for())
    assert {(one.table, one.id) for one in found(pipeline, name)} == planted


def test_a_worker_whose_turn_it_is_not_changes_nothing_and_asks_again_later(
    pipeline: Verifying, traffic: Traffic, redis_server: Redis
) -> None:
    """One of all workers verifies beside live work."""
    _, waiting = pipeline.verifier.begin()
    note(traffic, redis_server)
    assert traffic.take_turn()
    before = pipeline.everything()
    assert verifier(pipeline, traffic).run(waiting[0]) == Report(
        [waiting[0]], rest_seconds=REFUSED_SECONDS
    )
    assert pipeline.everything() == before


def test_alone_a_unit_is_done_at_one_go(pipeline: Verifying, redis_server: Redis) -> None:
    """And nobody rests."""
    _, waiting = pipeline.verifier.begin()
    turn = pipeline.verifier.run(waiting[0])
    assert waiting[0] not in turn.following
    assert turn.rest_seconds == 0
    assert not redis_server.exists(Traffic.TURN)


def test_a_worker_that_rests_takes_live_jobs_and_no_others(redis_server: Redis) -> None:
    """Those as soon as they are there; the next unit waits."""
    lanes, other = JobQueue(redis_server), Batch.of(HANDLER, ["v/00002"], Lane.REPAIR)
    lanes.enqueue([UNIT, other])
    ran: list[str] = []

    def run(batches: Sequence[Batch]) -> Report:
        ran.extend(batch.id for batch in batches)
        return Report([LIVE] if batches == [UNIT] else (), rest_seconds=60.0)

    worker_of(redis_server, run).work(max_jobs=2, logging_level="CRITICAL")
    assert ran == [UNIT.id, LIVE.id]
    assert lanes.lengths()["repair"] == 1


def test_a_rest_that_is_over_lets_the_next_unit_be_taken(redis_server: Redis) -> None:
    """By itself, with no live job to wake the worker."""
    other = Batch.of(HANDLER, ["v/00002"], Lane.REPAIR)
    assert work(redis_server, UNIT, other, rest_seconds=0.05) == [UNIT.id, other.id]


def test_a_step_and_its_rest_take_their_share_of_one_worker() -> None:
    """But nobody rests for ever after a step that took long."""
    for seconds in (0.001, 0.02, 0.5):
        assert seconds / (seconds + rest(seconds)) == pytest.approx(SHARE)
    assert rest(1_000.0) == LONGEST_REST
