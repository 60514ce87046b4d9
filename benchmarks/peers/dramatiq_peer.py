"""Dramatiq on Redis: a message an event, threads in several processes."""

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
    import dramatiq

THREADS: Final = 8
"""Dramatiq's own default."""

GUARANTEES: Final = Guarantees(
    accepted="in Redis, with up to a second of them not yet on disk",
    effects="at least once (acknowledged late, three retries); an attempt that was cut short "
    "repeats its writes, so a conversion may be counted twice",
    order="none: threads and processes overtake each other",
    late="the older event fills in what is missing; changes and counts stay as they fell",
    traces="the event's document says when it was begun and done; dead messages are kept a week",
    wiped="every event that was not begun",
)


@dataclass(frozen=True)
class DramatiqPeer:
    """Dramatiq with its own command.

    Attributes:
        name: what it is called in results.
        setup: how it is run here.
        guarantees: what a user may rely on.
        least_per_second: events a second that it does at least, by which it is given fewer in bulk.
    """

    name: str = "dramatiq"
    setup: str = "Dramatiq's worker processes with 8 threads each, its default; no results"
    guarantees: Guarantees = GUARANTEES
    least_per_second: float | None = 200.0

    def missing(self) -> str | None:
        """Whether Dramatiq is installed."""
        return not_installed("dramatiq")

    @contextmanager
    def running(self, place: Place, workers: int = 2) -> Iterator[QueueSession]:
        """Start Dramatiq with so many processes."""
        from benchmarks.peers.dramatiq_app import actor_of  # noqa: PLC0415 - it may be missing

        with _Session(place, actor_of(place)) as session:
            command = [sys.executable, "-m", "dramatiq", "benchmarks.peers.dramatiq_app:set_up"]
            command += ["--processes", str(workers), "--threads", str(THREADS)]
            session.start(self.name, command)
            session.warm_up(workers)
            yield session


class _Session(QueueSession):
    def __init__(self, place: Place, actor: dramatiq.Actor[[work.Message], None]) -> None:
        super().__init__(place)
        self._actor = actor

    def submit(self, events: Sequence[Event]) -> None:
        """Message by message; Dramatiq has nothing that sends many at once."""
        for event in events:
            self._actor.send(work.message(event))

    def submit_one(self, event: Event) -> None:
        """As `send`."""
        self._actor.send(work.message(event))

    def forget(self) -> None:
        """Forget what is left of it in Redis."""
        self._actor.broker.close()
        with Redis.from_url(self.place.where.redis_url) as redis:
            remove_keys(redis, f"{self.place.database}:*")
