"""What demo and benchmarks share: running processes, and feeding them without drowning them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from pipeline import Event
from pipeline.clock import SystemClock
from pipeline.dispatch import Receipt
from pipeline.settings import Settings
from workers.bootstrap import Application, Servers
from workers.supervisor import Supervisor

AHEAD: Final = 40
"""Most jobs that may wait in the lanes before more events are submitted."""
POLL_SECONDS: Final = 0.02
START_SECONDS: Final = 60.0
STALL_SECONDS: Final = 120.0
"""So long nothing at all may be written before we give up waiting."""
LOOK_SECONDS: Final = 1.0

Tick = Callable[[], None]


class StalledError(Exception):
    """The workers do not start, or do nothing any more."""


@dataclass(slots=True)
class Fed:
    """What was submitted.

    Attributes:
        started: monotonic time of the first submission.
        submitted: events, repeated ones included.
        accepted: events that were new.
        duplicates: events that were there before.
        others: events that conflicted, or were rejected; none are expected.
        sample: keys of some of the accepted events, evenly spread.
    """

    started: float
    submitted: int = 0
    accepted: int = 0
    duplicates: int = 0
    others: int = 0
    sample: list[str] = field(default_factory=list)

    def add(self, receipt: Receipt) -> None:
        """Count a receipt in."""
        self.accepted += len(receipt.accepted)
        self.duplicates += len(receipt.duplicates)
        self.others += len(receipt.conflicts) + len(receipt.rejected)


@contextmanager
def processes(settings: Settings, where: Servers, *, sweeper: bool = True) -> Iterator[Supervisor]:
    """Workers, and a sweeper, as `pipeline up` runs them; stopped in order at the end."""
    environment = _environment(settings) | where.environment()
    supervisor = Supervisor(SystemClock(), settings.data_dir / "logs", environment)
    supervisor.add_workers(settings.workers)
    if sweeper:
        supervisor.add("sweeper", "sweeper")
    try:
        supervisor.tend()
        yield supervisor
    finally:
        supervisor.stop()


def _environment(settings: Settings) -> dict[str, str]:
    """All settings that are not the defaults, for processes of their own."""
    told = {name: getattr(settings, name) for name in settings.model_fields_set}
    told |= {"data_dir": settings.data_dir.absolute(), "handlers": ",".join(settings.handlers)}
    return {f"PIPELINE_{name.upper()}": str(value) for name, value in told.items()}


def wait_for_workers(app: Application, supervisor: Supervisor) -> None:
    """Wait until every worker has given a sign of life.

    Raises:
        StalledError: they don't.
    """
    deadline = time.monotonic() + START_SECONDS
    while len(app.heartbeats.running()) < app.settings.workers:
        if time.monotonic() > deadline:
            raise StalledError(f"the workers did not start; {_logs(app)}")
        supervisor.tend()
        time.sleep(POLL_SECONDS)


def feed(
    app: Application,
    events: Iterable[Event],
    *,
    on_submission: Callable[[Fed], None] = lambda _fed: None,
    tick: Tick = lambda: None,
    sample_every: int = 1,
    at_once: int | None = None,
) -> Fed:
    """Submit events, many at once, whenever no more than `AHEAD` jobs wait for the workers.

    Args:
        app: takes the events.
        events: to submit.
        on_submission: told after each submission.
        tick: called again and again while we wait.
        sample_every: of so many accepted events one is kept in the sample.
        at_once: events of a submission; a window of the dispatcher's unless given. Where order
            and disorder count, it is a batch: a window puts together what came apart.

    Raises:
        StalledError: the workers write nothing any more.
    """
    remaining = iter(events)
    size = at_once or app.dispatcher.window
    batch = list(islice(remaining, size))
    fed = Fed(started=time.monotonic())
    while batch:
        patience = _Patience(app)
        while sum(app.queue.lengths().values()) > AHEAD:
            tick()
            patience.check()
            time.sleep(POLL_SECONDS)
        receipt = app.dispatcher.submit(batch)
        fed.sample += receipt.accepted[-fed.accepted % sample_every :: sample_every]
        fed.add(receipt)
        fed.submitted += len(batch)
        on_submission(fed)
        tick()
        batch = list(islice(remaining, size))
    return fed


def wait_until_idle(app: Application, *, tick: Tick = lambda: None) -> float:
    """Wait until nothing is left to be done; returns the monotonic time of that.

    Raises:
        StalledError: the workers write nothing any more.
    """
    patience = _Patience(app)
    while not app.store.records.batches.idle():
        tick()
        patience.check()
        time.sleep(POLL_SECONDS)
    return time.monotonic()


class _Patience:
    """Waits as long as the ledger grows, and not much longer."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._rows = -1
        self._grew = self._looked = time.monotonic()

    def check(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        rows = self._app.store.counts(["ledger"])["ledger"]
        if rows != self._rows:
            self._rows, self._grew = rows, now
        elif now - self._grew > STALL_SECONDS:
            raise StalledError(
                f"nothing was written for {STALL_SECONDS:g} seconds; {_logs(self._app)}"
            )


def _logs(app: Application) -> str:
    return f"the logs in {app.settings.data_dir / 'logs'} say why"


def percentiles(values: Iterable[float], *shares: float) -> list[float]:
    """The values below which these shares of all values lie; zero where there are none."""
    ranked = sorted(values)
    if not ranked:
        return [0.0 for _ in shares]
    return [ranked[min(len(ranked) - 1, int(share * len(ranked)))] for share in shares]
