"""The harness on RQ, for tests of events that fail: workers, sweeper, and a person's decisions."""

from datetime import timedelta
from typing import Any, Final

from pymongo import MongoClient
from redis import Redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.registry import BaseRegistry, FailedJobRegistry, ScheduledJobRegistry
from rq.serializers import JSONSerializer

from pipeline.dead_letters import Decisions, Letter, Where, find
from pipeline.declarations import Lane
from pipeline.event import Event
from pipeline.queue import BatchWorker, Heartbeats, JobQueue
from pipeline.reporting import report
from pipeline.store import Batch
from pipeline.sweeping import Sweep
from tests.facts import Document, fact
from tests.integration.harness import Harness
from tests.integration.sample_handlers import broken

EVERY: Final = Where()


def fetch(connection: Redis, job_id: str) -> Job | None:
    """The RQ job of this id, or None where Redis does not know it."""
    try:
        return Job.fetch(job_id, connection=connection, serializer=JSONSerializer)
    except NoSuchJobError:
        return None


class Letters(Harness):
    """Store, lanes, one worker at a time and one sweeper."""

    def __init__(
        self, client: MongoClient[Document], name: str, redis: Redis, **options: Any
    ) -> None:
        super().__init__(client, name, **options)
        self.redis = redis
        self.lanes = JobQueue(redis)
        self.decisions = Decisions(self.store, self.registry, self.lanes, self.clock, self.settings)
        self.sweeper = self.sweeper_of(redis, self.lanes)

    def work(self) -> None:
        """Run all jobs in a worker that ends when the lanes are empty."""
        self.lanes.enqueue(list(self.waiting))
        self.waiting.clear()
        worker = BatchWorker(
            self.redis,
            name="burst",
            lanes=list(Lane),
            run=lambda batches: report(self.executor.run(batches)),
            room=500,
            heartbeats=Heartbeats(self.redis, 10),
        )
        worker.work(burst=True, logging_level="CRITICAL")

    def sweep(self, after: timedelta = timedelta(0)) -> Sweep:
        """One pass of the sweeper, some time later."""
        self.clock.advance(after)
        return self.sweeper.sweep()

    def settle(self) -> None:
        """Work and sweep until all has succeeded or died."""
        self.work()
        while not self.store.records.batches.idle():
            assert self.sweep(after=timedelta(hours=1)).due
            self.work()

    def bury(self, *events: Event, handler: str = "tickets.apply") -> None:
        """Submit events on which the handler fails until it gives up; it goes on failing."""
        broken.update((handler, event.event_id) for event in events)
        self.submit(*events)
        self.settle()

    def letters(self, where: Where = EVERY, **options: Any) -> list[Letter]:
        """The dead letters that match, the oldest first."""
        return find(self.store, where, newest_first=False, limit=1000, **options).letters

    def dead(self, where: Where = EVERY) -> list[str]:
        """Ids of the events of these."""
        return [letter.event.partition("@")[0] for letter in self.letters(where)]

    def shelf(self, registry: type[BaseRegistry], lane: Lane = Lane.ACTIONS) -> set[str]:
        """Ids of the jobs in a registry, as RQ's own tools see them."""
        queue = Queue(lane.value, connection=self.redis, serializer=JSONSerializer)
        return set(registry(queue=queue).get_job_ids(cleanup=False))

    def failed(self) -> set[str]:
        """Jobs that RQ shows as failed, of both lanes."""
        return self.shelf(FailedJobRegistry) | self.shelf(FailedJobRegistry, Lane.OBSERVERS)

    def scheduled(self) -> set[str]:
        """Jobs that RQ shows as scheduled, of both lanes."""
        return self.shelf(ScheduledJobRegistry) | self.shelf(ScheduledJobRegistry, Lane.OBSERVERS)


def tickets(count: int, **fields: Any) -> list[Event]:
    """One event for each of so many tickets: e0 of T0, e1 of T1 and so on."""
    return [fact(f"e{n}", n, entity_id=f"T{n}", add=1, **fields) for n in range(count)]


def job_of(event: Event, handler: str = "tickets.apply") -> str:
    """The id of the job of this event alone."""
    return Batch.of(handler, [event.key], "").id
