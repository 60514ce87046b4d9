"""Celery on Redis: a message an event, children that reserve some ahead."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from redis import Redis

from benchmarks.peers import work
from benchmarks.peers.installed import not_installed
from benchmarks.peers.keys import remove_keys
from benchmarks.peers.peer import Guarantees
from benchmarks.peers.place import Place
from benchmarks.peers.queue_session import QueueSession
from pipeline import Event

if TYPE_CHECKING:
    from celery import Celery

GUARANTEES: Final = Guarantees(
    accepted="in Redis, with up to a second of them not yet on disk",
    effects="at least once (acknowledged late); an attempt that was cut short repeats its "
    "writes, so a conversion may be counted twice; what a killed worker had reserved comes "
    "again after an hour, the visibility timeout",
    order="none: children take what they have reserved side by side",
    late="the older event fills in what is missing; changes and counts stay as they fell",
    traces="the event's document says when it was begun and done; Celery keeps nothing here",
    wiped="every event that was not begun",
)


@dataclass(frozen=True)
class CeleryPeer:
    """Celery with its prefork pool.

    Attributes:
        name: what it is called in results.
        setup: how it is run here.
        guarantees: what a user may rely on.
        least_per_second: events a second that it does at least, by which it is given fewer in bulk.
    """

    name: str = "celery"
    setup: str = (
        "Celery's prefork pool with a child for each worker, late acknowledgement, 64 tasks "
        "reserved ahead for each child, no results"
    )
    guarantees: Guarantees = GUARANTEES
    least_per_second: float | None = 100.0

    def missing(self) -> str | None:
        """Whether Celery is installed."""
        return not_installed("celery")

    @contextmanager
    def running(self, place: Place, workers: int = 2) -> Iterator[QueueSession]:
        """Start one Celery worker with so many children."""
        from benchmarks.peers.celery_app import app_of  # noqa: PLC0415 - it may be missing

        with _Session(place, app_of(place)) as session:
            command = [sys.executable, "-m", "benchmarks.peers.celery_app", str(workers)]
            session.start(self.name, command)
            session.warm_up(workers)
            yield session


class _Session(QueueSession):
    def __init__(self, place: Place, app: Celery) -> None:
        super().__init__(place)
        self._app = app
        self._task = app.tasks["appointments.perform"]

    def submit(self, events: Sequence[Event]) -> None:
        """Message by message over one connection; Celery has nothing that sends many at once."""
        with self._app.producer_pool.acquire(block=True) as producer:
            for event in events:
                self._task.apply_async((work.message(event),), producer=producer)

    def submit_one(self, event: Event) -> None:
        """As `delay`."""
        self._task.delay(work.message(event))

    def forget(self) -> None:
        """Forget what is left of it in Redis."""
        self._app.close()
        with Redis.from_url(self.place.where.redis_url) as redis:
            remove_keys(redis, f"{self.place.database}:*")
