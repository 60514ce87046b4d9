"""Plain RQ: one job an event, with a worker that forks for each, or one that does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from redis import Redis
from rq import Queue, Retry
from rq.serializers import JSONSerializer

from benchmarks.peers import work
from benchmarks.peers.keys import remove_keys
from benchmarks.peers.peer import Guarantees
from benchmarks.peers.place import Place
from benchmarks.peers.queue_session import QueueSession
from pipeline import Event

ATTEMPTS: Final = 3
RESULT_SECONDS: Final = 0
"""A job that succeeded is removed at once: nobody reads its result."""

GUARANTEES: Final = Guarantees(
    accepted="in Redis, with up to a second of them not yet on disk",
    effects="up to three tries; an attempt that was cut short repeats its writes, so a "
    "conversion may be counted twice, and a job whose worker was killed waits for RQ's own "
    "maintenance",
    order="that of the queue with one worker; several overtake each other",
    late="the older event fills in what is missing; changes and counts stay as they fell",
    traces="the event's document says when it was begun and done; failed jobs are kept for a year",
    wiped="every event that was not begun",
)


@dataclass(frozen=True)
class PlainRq:
    """RQ with one of its own workers.

    Attributes:
        name: what it is called in results.
        kind: the worker's class.
        setup: how it is run here.
        least_per_second: events a second that it does at least, by which it is given fewer in bulk.
        guarantees: what a user may rely on.
    """

    name: str
    kind: str
    setup: str
    least_per_second: float | None
    guarantees: Guarantees = GUARANTEES

    def missing(self) -> str | None:
        """Nothing: RQ is what ours is built on."""
        return None

    @contextmanager
    def running(self, place: Place, workers: int = 2) -> Iterator[QueueSession]:
        """Start the workers."""
        with _Session(place) as session:
            for number in range(1, workers + 1):
                command = [sys.executable, "-m", "benchmarks.peers.rq_worker", self.kind]
                session.start(f"{self.name}-{number}", command)
            session.warm_up(workers)
            yield session


FORKING: Final = PlainRq(
    "rq-worker",
    "rq.Worker",
    "RQ's Worker, which forks a child for each job; the work is imported before the fork",
    least_per_second=20.0,
)
SIMPLE: Final = PlainRq(
    "rq-simple-worker",
    "rq.SimpleWorker",
    "RQ's SimpleWorker, which does all jobs in its own process",
    least_per_second=60.0,
)


class _Session(QueueSession):
    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._redis = Redis.from_url(place.where.redis_url)
        self._queue = Queue(place.database, connection=self._redis, serializer=JSONSerializer)

    def submit(self, events: Sequence[Event]) -> None:
        """As `enqueue_many`, which sends all of them through one pipeline."""
        self._queue.enqueue_many(
            [
                Queue.prepare_data(
                    work.perform_here,
                    (work.message(event),),
                    result_ttl=RESULT_SECONDS,
                    retry=Retry(ATTEMPTS),
                )
                for event in events
            ]
        )

    def submit_one(self, event: Event) -> None:
        """As `enqueue`."""
        self._queue.enqueue(
            work.perform_here,
            work.message(event),
            result_ttl=RESULT_SECONDS,
            retry=Retry(ATTEMPTS),
        )

    def forget(self) -> None:
        """Forget the queue and its jobs."""
        self._queue.delete(delete_jobs=True)
        remove_keys(self._redis, f"rq:*:{self.place.database}*")  # workers, registries
        self._redis.close()
