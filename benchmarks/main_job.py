"""The main job under measurement: flights through fold, history, ledger and counters.

Each scenario is a function from a `Bench` and its options to figures. None of them judges a
figure: what is fast enough depends on the machine.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Any, Final, Self

import psutil

from benchmarks import flights
from benchmarks.feeding import feed, percentiles, processes, wait_for_workers, wait_until_idle
from benchmarks.places import ensure_alone
from pipeline import Event
from pipeline.settings import Settings
from pipeline.store import Batch
from pipeline.tables import CODEC
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
    runs = []
    for _ in range(options.repeat):
        with bench.fresh() as app, bench.working(app) as supervisor, _Memory(supervisor) as memory:
            fed = feed(app, flight_events(options.events), tick=supervisor.tend)
            seconds = wait_until_idle(app, tick=supervisor.tend) - fed.started
        runs.append(
            {
                "events": fed.accepted,
                "seconds": round(seconds, 3),
                "events_per_second": round(fed.accepted / seconds, 1),
                "worker_rss_mib": memory.figures(),
            }
        )
    return {
        "events_per_second": statistics.median(run["events_per_second"] for run in runs),
        "runs": runs,
    }


def latency(bench: Bench, _options: Options) -> dict[str, Any]:
    """Open loop: single events on a fixed timetable, until their last handler's commit.

    An event counts from when it was due, not from when we got round to sending it, so a
    stall is in the figures of every event it held up.
    """
    events = list(flight_events(PER_SECOND * LATENCY_SECONDS))
    with bench.fresh() as app, bench.working(app):
        commits = _Commits(app)
        due = _submit_on_time(app, events)
        behind = app.store.records.batches.backlog()
        wait_until_idle(app)
        last = commits.last()
    waits = [
        (last[key] - moment).total_seconds() * 1000 for key, moment in due.items() if key in last
    ]
    p50, p95, p99 = percentiles(waits, 0.50, 0.95, 0.99)
    return {
        "events": len(events),
        "per_second": PER_SECOND,
        "seen": len(waits),
        # Many of them: the machine was slower than the timetable, and the figures below tell
        # how long the line grew rather than how long an event takes.
        "waiting_at_end": sum(events for _, events in behind.values()),
        "p50_ms": round(p50, 1),
        "p95_ms": round(p95, 1),
        "p99_ms": round(p99, 1),
        "max_ms": round(max(waits, default=0.0), 1),
    }


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


def _submit_on_time(app: Application, events: list[Event]) -> dict[str, datetime]:
    """Submit each event when it is due, late ones at once; returns when each was due."""
    started, clock = datetime.now(UTC), time.monotonic()
    due: dict[str, datetime] = {}
    for number, event in enumerate(events):
        after = number / PER_SECOND
        time.sleep(max(0.0, clock + after - time.monotonic()))
        app.dispatcher.submit([event])
        due[event.key] = started + timedelta(seconds=after)
    return due


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


class _Commits:
    """When each event's last ledger row was committed, by the server's own clock.

    `lag_ms` in the ledger is taken before the write. The operation log tells the time of the
    commit, and is read when all is over: following it meanwhile would slow down what is
    measured.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._client = app.store.database.client
        self._since = self._client.admin.command("ping")["operationTime"]

    def last(self) -> dict[str, datetime]:
        """By event key, when its last row was committed."""
        table = f"{self._app.store.database.name}.ledger"
        log = self._client.get_database("local", codec_options=CODEC)["oplog.rs"]
        last: dict[str, datetime] = {}
        written = {"ts": {"$gt": self._since}, "o.applyOps.ns": table}
        for entry in log.find(written, {"wall": 1, "o.applyOps": 1}):
            for change in entry["o"]["applyOps"]:
                if change["ns"] == table:
                    event = change["o"]["_id"].rpartition("|")[0]
                    last[event] = max(entry["wall"], last.get(event, entry["wall"]))
        return last
