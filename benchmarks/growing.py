"""What an event costs when millions are stored, and when a million wait.

Everything is measured alike, so that nothing but the size differs: a backlog is submitted while no
worker runs, and then worked off with nobody submitting. The first and the last backlog are as
large as the part that is measured of the one between, the million that waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from benchmarks.bench import Bench, plain
from benchmarks.feeding import POLL_SECONDS, feed, wait_until_idle
from benchmarks.measuring import Sampler
from benchmarks.product import Told
from benchmarks.spec import Spec
from benchmarks.workload import in_order
from pipeline import Event
from workers.bootstrap import Application
from workers.supervisor import Supervisor

WAITING: Final = 0.2
"""The share of all events that wait at once."""
PART: Final = 0.01
"""The share of all events in each of the small backlogs, and of the large one that is measured."""
LEAST: Final = 5_000
"""Events of a part, where there are enough of them: a smaller one is over before it is measured."""
MOST_PENDING: Final = 1_000_000
"""Batches that may wait: no submission is to be refused here."""
MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True)
class Drained:
    """The first part of a backlog, worked off.

    Attributes:
        per_second: events a second.
        cpu_us: processor time of workers and servers an event, in microseconds.
    """

    per_second: float
    cpu_us: float


def growing(bench: Bench, spec: Spec, told: Told) -> dict[str, Any]:
    """Work off backlogs of a store that grows to as many events as the workload has."""
    began_at, started = datetime.now(UTC), time.monotonic()
    total = spec.workload.events
    part = max(1, min(max(LEAST, round(total * PART)), total // 10))
    waiting = max(part, round(total * WAITING))
    events = in_order(spec.workload)
    with bench.fresh(workers=spec.workers, max_pending=MOST_PENDING) as app:
        run = _Growing(bench, app, events, told)
        run.feed(part)  # whoever is first pays for what others find in the caches
        start = run.drain(part, part)
        run.feed(total - waiting - 3 * part)
        queued = run.drain(waiting, part)
        end = run.drain(part, part)
        figures = {
            **_figures("at_start", start),
            **_figures("queued", queued),
            **_figures("at_end", end),
            "to_start": round(end.per_second / start.per_second, 3),
            "queued_to_start": round(queued.per_second / start.per_second, 3),
            "stored": app.store.records.events.count(),
            "stored_mib": _stored_mib(app),
        }
    seconds = time.monotonic() - started
    return plain(spec, began_at, total, seconds) | {"figures": figures}


def _figures(name: str, drained: Drained) -> dict[str, float]:
    return {
        f"{name}_per_s": round(drained.per_second, 1),
        f"{name}_cpu_us": round(drained.cpu_us, 1),
    }


def _stored_mib(app: Application) -> float:
    return round(float(app.store.database.command("dbstats")["dataSize"]) / MEBIBYTE, 1)


class _Growing:
    """One store that events are added to, with workers now and then."""

    def __init__(self, bench: Bench, app: Application, events: Iterator[Event], told: Told) -> None:
        self._bench = bench
        self._app = app
        self._events = events
        self._told = told
        self._stored = 0

    def feed(self, count: int) -> None:
        """Add events that are worked off while they come."""
        with self._bench.working(self._app) as supervisor:
            feed(
                self._app,
                islice(self._events, count),
                on_submission=lambda fed: self._told("growing", self._stored + fed.submitted),
                tick=supervisor.tend,
                sample_every=count,
            )
            wait_until_idle(self._app, tick=supervisor.tend)
        self._stored += count

    def drain(self, count: int, part: int) -> Drained:
        """Let events wait, and work them off; the first part is measured.

        It is measured from when all workers run; a part so small that it is over by then, from
        when they were started, and its processor time says nothing.
        """
        before = self._done()
        self._submit(count)
        started = time.monotonic()
        with self._bench.working(self._app) as supervisor:

            def pids() -> Mapping[str, int]:
                return {**supervisor.pids(), **self._bench.beside}

            began, at = time.monotonic(), self._done()
            if at >= before + part:
                began, at = started, before
            with Sampler(pids) as sampler:
                self._reach(before + part, supervisor)
                events, seconds = self._done() - at, time.monotonic() - began
            wait_until_idle(self._app, tick=supervisor.tend)
        self._stored += count
        used = sum(one.cpu_seconds for one in sampler.usage() if one.process != "sender")
        return Drained(events / max(POLL_SECONDS, seconds), used / events * 1e6)

    def _submit(self, count: int) -> None:
        """Take events in, with nobody to work on them."""
        dispatcher = self._app.dispatcher
        left = islice(self._events, count)
        submitted = 0
        while batch := list(islice(left, dispatcher.window)):
            dispatcher.submit(batch)
            submitted += len(batch)
            self._told("waiting", self._stored + submitted)

    def _reach(self, until: float, supervisor: Supervisor) -> None:
        """Wait until so many events have been through all their handlers, or nothing is left."""
        while (done := self._done()) < until and not self._app.store.records.batches.idle():
            supervisor.tend()
            self._told("working off", int(done))
            time.sleep(POLL_SECONDS)
        self._told("working off", int(done))

    def _done(self) -> float:
        """Events that were worked off, by the rows of the ledger; those half done count so."""
        return self._app.store.counts(["ledger"])["ledger"] / len(list(self._app.registry))
