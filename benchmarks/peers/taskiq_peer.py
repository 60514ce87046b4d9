"""Taskiq on Redis: a message an event, coroutines in several processes.

Of the two asynchronous queues we take this one: arq's maintainers have put it into maintenance,
and it needs a client for Redis older than ours.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from redis import Redis

from benchmarks.peers import work
from benchmarks.peers.installed import not_installed
from benchmarks.peers.keys import remove_keys
from benchmarks.peers.peer import Guarantees
from benchmarks.peers.place import Place
from benchmarks.peers.queue_session import QueueSession
from pipeline import Event

if TYPE_CHECKING:
    from taskiq import AsyncBroker

TASK: Final = "perform"
PATIENCE_SECONDS: Final = 60.0
AT_ONCE: Final = 100
"""Messages that are on their way to Redis side by side."""

GUARANTEES: Final = Guarantees(
    accepted="in Redis, with up to a second of them not yet on disk",
    effects="at least once (acknowledged late, three retries); an attempt that was cut short "
    "repeats its writes, so a conversion may be counted twice; what a killed worker had comes "
    "again after ten minutes",
    order="none: coroutines and processes overtake each other",
    late="the older event fills in what is missing; changes and counts stay as they fell",
    traces="the event's document says when it was begun and done; the stream keeps every message",
    wiped="every event that was not begun",
)


@dataclass(frozen=True)
class TaskiqPeer:
    """Taskiq with its own command.

    Attributes:
        name: what it is called in results.
        setup: how it is run here.
        guarantees: what a user may rely on.
        least_per_second: events a second that it does at least, by which it is given fewer in bulk.
    """

    name: str = "taskiq"
    setup: str = (
        "Taskiq's worker processes with up to 100 coroutines each, its default, on a stream in "
        "Redis; no results"
    )
    guarantees: Guarantees = GUARANTEES
    least_per_second: float | None = 100.0

    def missing(self) -> str | None:
        """Whether Taskiq and its broker for Redis are installed."""
        return not_installed("taskiq", "taskiq_redis")

    @contextmanager
    def running(self, place: Place, workers: int = 2) -> Iterator[QueueSession]:
        """Start Taskiq with so many processes."""
        from benchmarks.peers.taskiq_app import broker_of  # noqa: PLC0415 - it may be missing

        with _Session(place, broker_of(place)) as session:
            command = [
                sys.executable,
                "-m",
                "taskiq",
                "worker",
                "benchmarks.peers.taskiq_app:broker",
            ]
            command += ["--workers", str(workers), "--log-level", "WARNING"]
            session.start(self.name, command)
            session.warm_up(workers)
            yield session


class _Session(QueueSession):
    def __init__(self, place: Place, broker: AsyncBroker) -> None:
        super().__init__(place)
        # Coroutines are sent from a thread of their own, whoever asks for it.
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="taskiq", daemon=True)
        self._thread.start()
        self._broker = broker
        self._wait_for(broker.startup())
        self._task = broker.find_task(TASK)

    def submit(self, events: Sequence[Event]) -> None:
        """Some side by side; Taskiq has nothing that sends many at once."""
        for start in range(0, len(events), AT_ONCE):
            self._wait_for(self._send(events[start : start + AT_ONCE]))

    def submit_one(self, event: Event) -> None:
        """As `kiq`."""
        self._wait_for(self._send([event]))

    async def _send(self, events: Sequence[Event]) -> None:
        await asyncio.gather(*[self._task.kiq(work.message(event)) for event in events])

    def _wait_for(self, coroutine: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_SECONDS)

    def forget(self) -> None:
        """Forget what is left of it in Redis."""
        try:
            self._wait_for(self._broker.shutdown())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_SECONDS)
            self._loop.close()
        with Redis.from_url(self.place.where.redis_url) as redis:
            remove_keys(redis, f"{self.place.database}:*")
