"""Events that kill their worker: found, set aside, and their neighbours done."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from rq.job import Job
from rq.queue import Queue
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from pipeline.clock import SystemClock
from pipeline.declarations import Lane
from pipeline.event import Event
from pipeline.executor import Executor, Rescuer, Turns
from pipeline.executor.steps import Hooks
from pipeline.locks import Locks
from pipeline.queue import BatchWorker, Heartbeats, JobQueue, Report
from pipeline.reporting import report
from pipeline.store import Batch
from pipeline.store.verifications import Unit, Verification
from pipeline.verification import Unknown, Verifier, finding_of
from pipeline.verification.pacing import Pace
from tests.facts import Document, fact
from tests.integration.harness import Harness
from tests.integration.sample_handlers import broken


class Died(BaseException):
    """A worker's death: nothing of it gets to say anything to anybody."""


class Mortal(Harness):
    """Workers that die as soon as the handler sees a deadly event."""

    def __init__(self, client: MongoClient[Document], name: str, redis: Redis) -> None:
        super().__init__(client, name)
        self.redis = redis
        self.deadly: set[str] = set()
        self.lanes = JobQueue(redis)
        self.heartbeats = Heartbeats(redis, 10)
        self.deaths = 0
        self.verifier = Verifier(
            self.store, self.registry, self.clock, self.settings, worker="verifier"
        )
        self.sweeper = self.sweeper_of(redis, self.lanes, self.heartbeats)

    def live(self) -> None:
        """Let one worker after the other work and die, and the sweeper sweep, until all is done."""
        self.lanes.enqueue(list(self.waiting))
        self.waiting.clear()
        for life in range(60):
            self.work(f"worker-{life}")
            # The lease of a dead worker ends.
            self.heartbeats.stop(f"worker-{life}")
            self.clock.advance(timedelta(hours=1))
            self.sweeper.sweep()
            if not any(self.lanes.lengths().values()) and self.store.records.batches.idle():
                return
        raise AssertionError("not done after 60 lives")

    def work(self, name: str) -> None:
        """One life of a worker; RQ's loop ends at what nobody catches."""
        executor = Executor(
            self.store,
            self.registry,
            self.clock,
            self.settings,
            worker=name,
            hooks=Hooks(watch=self.heartbeats.suspect),
        )

        def run(batches: Sequence[Batch]) -> Report:
            try:
                if batches[0].lane == Lane.REPAIR:
                    return self.verifier.run(batches[0])
                return report(executor.run(batches))
            except Died:
                self.deaths += 1
                raise

        worker = BatchWorker(
            self.redis, name=name, lanes=list(Lane), run=run, room=500, heartbeats=self.heartbeats
        )
        worker.work(burst=True, logging_level="CRITICAL")


@pytest.fixture
def mortal(
    mongo: MongoClient[Document],
    database: Database[Document],
    redis_server: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Mortal]:
    """Give the pipeline of mortals."""
    broken.clear()
    mortal = Mortal(mongo, database.name, redis_server)

    def die_if_deadly(handler: str, event: Event) -> None:
        if (handler, event.event_id) in broken:
            raise Died

    monkeypatch.setattr("tests.integration.sample_handlers._fail_if_told", die_if_deadly)
    yield mortal
    broken.clear()


def tickets(count: int) -> list[Event]:
    """One event for each of so many tickets."""
    return [fact(f"e{n}", n, entity_id=f"T{n}", add=1) for n in range(count)]


@pytest.mark.parametrize("handler", ["tickets.apply", "owners.count", "statuses.count"])
def test_a_deadly_event_is_set_aside_and_its_neighbours_are_done(
    mortal: Mortal, handler: str
) -> None:
    """Of a hundred, one is a dead letter with the cause; three deaths were enough to know."""
    events = tickets(100)
    broken.add((handler, "e42"))
    mortal.submit(*events)
    mortal.live()
    row = mortal.row(events[42], handler)
    assert row.state == "dead"
    assert row.error is not None
    assert row.error["type"] == "WorkerDied"
    assert "2 workers died" in row.error["message"]
    others = [event for event in events if event is not events[42]]
    assert all(mortal.row(event, handler).state == "done" for event in others)
    assert mortal.deaths <= 4


def test_a_deadly_event_alone_is_set_aside_after_two_deaths(mortal: Mortal) -> None:
    """Then it kills no more."""
    (event,) = tickets(1)
    broken.add(("tickets.apply", "e0"))
    mortal.submit(event)
    mortal.live()
    assert mortal.states(event) == {"tickets.apply": "dead"}
    assert mortal.deaths == 2


def test_one_deadly_event_among_small_jobs_run_together_harms_no_other(mortal: Mortal) -> None:
    """After the first death each runs alone."""
    events = tickets(5)
    broken.add(("tickets.apply", "e3"))
    for event in events:
        mortal.submit(event)
    mortal.live()
    states = [mortal.states(event)["tickets.apply"] for event in events]
    assert states == ["done", "done", "done", "dead", "done"]
    assert mortal.deaths == 2


def test_a_deadly_event_is_found_by_halving_where_redis_forgets(mortal: Mortal) -> None:
    """Without a note of who was looked at, two of four are cut off at each death."""
    events = tickets(4)
    broken.add(("tickets.apply", "e2"))
    mortal.heartbeats.suspect = lambda _batch, _event: None  # type: ignore[method-assign]
    mortal.submit(*events)
    mortal.live()
    states = [mortal.states(event)["tickets.apply"] for event in events]
    assert states == ["done", "done", "dead", "done"]
    assert mortal.deaths == 4


def test_one_death_is_nobodys_fault(mortal: Mortal) -> None:
    """A worker that was killed from outside: all its events are done by the next."""
    events = tickets(10)
    broken.add(("tickets.apply", "e4"))
    mortal.submit(*events)
    mortal.lanes.enqueue(list(mortal.waiting))
    mortal.waiting.clear()
    mortal.work("worker-x")
    assert mortal.deaths == 1
    mortal.heartbeats.stop("worker-x")
    broken.clear()
    mortal.live()
    assert all(set(mortal.states(event).values()) == {"done"} for event in events)
    assert mortal.document("tenant_totals", "acme")["tickets"] == 10


def test_a_deadly_event_set_aside_is_a_failed_job_and_can_be_requeued(
    mortal: Mortal, redis_server: Redis
) -> None:
    """Where the cause is gone, RQ's requeue is all it takes."""
    (event,) = tickets(1)
    broken.add(("tickets.apply", "e0"))
    mortal.submit(event)
    mortal.live()
    queue = Queue("actions", connection=redis_server, serializer=JSONSerializer)
    failed = FailedJobRegistry(queue=queue)
    (job_id,) = failed.get_job_ids(cleanup=False)
    result = Job.fetch(job_id, connection=redis_server, serializer=JSONSerializer).latest_result()
    assert result is not None
    assert "WorkerDied" in str(result.exc_string)
    assert StartedJobRegistry(queue=queue).get_job_ids(cleanup=False) == []
    broken.clear()
    failed.requeue(job_id)
    mortal.live()
    assert set(mortal.states(event).values()) == {"done"}


def test_setting_an_event_aside_leaves_alone_what_a_heal_has_done(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> None:
    """Put back to work, it would be counted twice."""
    broken.clear()
    harness = Harness(mongo, database.name)
    later = fact("e2", 2, owner="ann", points=5)
    harness.submit(later)
    harness.run(harness.waiting.popleft())
    (observers,) = harness.waiting
    harness.waiting.clear()
    alone = Batch.of("owners.count", [later.key], observers.lane, deaths=1)
    now = harness.clock.now()
    harness.store.records.batches.add([(alone, now)], created_at=now)
    harness.process(fact("e1", 1, owner="bob", points=1))
    assert harness.states(later)["owners.count"] == "done"
    turns = Turns(Locks(redis_server, SystemClock()))
    rescuer = Rescuer(harness.store, harness.registry, harness.clock, harness.settings, turns)
    outcome = rescuer.rescue(alone.id, None)
    assert outcome.failures == []
    assert harness.states(later)["owners.count"] == "done"
    assert alone.id not in harness.store.records.batches.pending([alone.id])


def test_a_verification_that_kills_its_workers_comes_to_an_end(
    mortal: Mortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What kills is told as what can't be told, after two deaths; all else is looked at."""
    mortal.process(*tickets(30))
    monkeypatch.setattr("pipeline.verification.passes.EVENTS_A_UNIT", 10)
    # A life of a worker takes an hour here, and MongoDB's clock knows nothing of it.
    monkeypatch.setattr("pipeline.verification.history.LONGEST", timedelta(days=9))
    look = mortal.verifier._step  # noqa: SLF001 - what a deadly handler or document ends

    def die(verification: Verification, unit: Unit, pace: Pace) -> Any:
        if unit.about == "1/3":
            raise Died
        return look(verification, unit, pace)

    monkeypatch.setattr(mortal.verifier, "_step", die)
    name, batches = mortal.verifier.begin()
    mortal.waiting.extend(batches)
    mortal.live()
    kept = mortal.store.records.verifications
    found = {one.table: one for one in map(finding_of, kept.findings(name, limit=10))}
    assert "its worker died at the last of 2 tries" in str(found.pop("1/3"))
    totals = {"owner_totals", "tenant_totals", "status_totals"}
    assert set(found) <= totals
    assert all(isinstance(finding, Unknown) for finding in found.values())
    assert mortal.deaths == 2
    assert all(unit.done for unit in kept.units(name))
    verification = kept.get(name)
    assert verification is not None
    assert verification.ended_at is not None
