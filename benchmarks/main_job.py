"""The main job under measurement: flights through fold, history, ledger and counters.

Each scenario is a function from a `Bench` and its options to figures. None of them judges a
figure: what is fast enough depends on the machine.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any, Final, Self

import psutil

from benchmarks import flights
from benchmarks.feeding import feed, processes, wait_for_workers, wait_until_idle
from benchmarks.places import ensure_alone
from benchmarks.timetable import on_time
from pipeline import Event
from pipeline.settings import Settings
from pipeline.store import Batch
from workers.bootstrap import Application, Servers, application
from workers.supervisor import Supervisor

MEBIBYTE: Final = 1024 * 1024
SAMPLE_SECONDS: Final = 0.2
PER_SECOND: Final = 50
LATENCY_SECONDS: Final = 20
QUEUED_BATCHES: Final = 100

_numbers = count(1)


@dataclass(frozen=True)
class Options:
    """How much to measure: events of a throughput run, and how many runs."""

    events: int
    repeat: int


@dataclass(frozen=True)
class Bench:
    """Running servers, and settings for what is started on them."""

    settings: Settings
    where: Servers

    @contextmanager
    def fresh(self) -> Iterator[Application]:
        """An application on a database of its own, which is dropped afterwards."""
        name = f"bench_{datetime.now(UTC):%Y%m%d_%H%M%S}_{next(_numbers)}"
        settings = self.settings.model_copy(update={"database": name})
        with application(settings, self.where) as app:
            ensure_alone(app)
            try:
                yield app
            finally:
                app.store.database.client.drop_database(name)

    @contextmanager
    def working(self, app: Application) -> Iterator[Supervisor]:
        """Workers and sweeper on this application's database, ready for work."""
        with processes(app.settings, self.where) as supervisor:
            wait_for_workers(app, supervisor)
            yield supervisor


def throughput(bench: Bench, options: Options) -> dict[str, Any]:
    """Bulk: as many events a second as go through, and what memory the workers take."""
    runs, rates = [], list[float]()
    for _ in range(options.repeat):
        with bench.fresh() as app, bench.working(app) as supervisor, _Memory(supervisor) as memory:
            fed = feed(app, flight_events(options.events), tick=supervisor.tend)
            seconds = wait_until_idle(app, tick=supervisor.tend) - fed.started
        rates.append(round(fed.accepted / seconds, 1))
        runs.append(
            {
                "events": fed.accepted,
                "seconds": round(seconds, 3),
                "events_per_second": rates[-1],
                "worker_rss_mib": memory.figures(),
            }
        )
    return {"events_per_second": statistics.median(rates), "runs": runs}


def latency(bench: Bench, _options: Options) -> dict[str, Any]:
    """Open loop: single events on a fixed timetable, until their last handler's commit."""
    with bench.fresh() as app, bench.working(app):
        return on_time(app, flight_events(PER_SECOND * LATENCY_SECONDS), PER_SECOND)


def redis_memory(bench: Bench, _options: Options) -> dict[str, Any]:
    """What an event costs in Redis while its batch waits there."""
    with bench.fresh() as app:
        size = app.settings.batch_size
        action = app.registry.actions_for("appointment.scheduled")[0]
        keys = [event.key for event in flight_events(QUEUED_BATCHES * size)]
        batches = [
            Batch.of(action.name, keys[start : start + size], action.lane)
            for start in range(0, len(keys), size)
        ]
        before = _used_memory(app)
        for batch in batches:
            app.queue.enqueue([batch])
        used = _used_memory(app) - before
        for batch in batches:
            app.redis.delete(f"rq:job:{batch.id}")
        app.redis.delete(f"rq:queue:{action.lane}")
    return {
        "batches": len(batches),
        "events": len(keys),
        "bytes": used,
        "bytes_per_event": round(used / len(keys), 1),
    }


def flight_events(wanted: int) -> Iterator[Event]:
    """Exactly so many events, in their order."""
    path = flights.data_file()
    return islice(flights.stream(path, flights.count(path, wanted)[0]), wanted)


def _used_memory(app: Application) -> int:
    return int(app.redis.info("memory")["used_memory"])


@dataclass
class _Memory:
    """Samples the workers' resident memory from a thread of its own."""

    supervisor: Supervisor
    samples: dict[str, list[int]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def figures(self) -> dict[str, dict[str, float]]:
        """Start, highest and end of each worker, in MiB."""
        return {
            name: {
                "start": round(seen[0] / MEBIBYTE, 1),
                "max": round(max(seen) / MEBIBYTE, 1),
                "end": round(seen[-1] / MEBIBYTE, 1),
            }
            for name, seen in self.samples.items()
        }

    def _sample(self) -> None:
        while not self._ended.is_set():
            for name, pid in self.supervisor.pids().items():
                if not name.startswith("worker"):
                    continue
                try:
                    rss = psutil.Process(pid).memory_info().rss
                except psutil.NoSuchProcess:  # it has just ended; the supervisor will see
                    continue
                self.samples.setdefault(name, []).append(rss)
            self._ended.wait(SAMPLE_SECONDS)
