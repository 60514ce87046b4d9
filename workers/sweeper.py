"""The sweeper process: one pass after the other until it is told to stop."""

from __future__ import annotations

import os
import signal
import time
from contextlib import nullcontext
from typing import Final

import structlog
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from pipeline.clock import Clock
from pipeline.errors import Unavailable
from pipeline.locks import Lease, Locks
from pipeline.metrics import Counts
from pipeline.metrics.catalogue import ENQUEUED_AGAIN, ORPHANED, SWEEPS
from pipeline.metrics.own import own_registry, serve
from pipeline.queue import Readings
from pipeline.sweeping import Sweeper
from pipeline.verification import Sampler
from workers.bootstrap import Application, process_name
from workers.lookout import Lookout
from workers.metrics import Metrics, Shared
from workers.metrics.shared import LOOK_SECONDS
from workers.metrics.standing import look

NAP_SECONDS: Final = 0.1
LEADER: Final = "sweeper"
SHORTEST_TERM: Final = 5.0
"""Seconds after which another sweeper takes over from one that was killed."""

log = structlog.get_logger(__name__)


def run(app: Application) -> None:
    """Sweep until SIGTERM or SIGINT, or until the supervisor is gone."""
    # A list and no Event: whoever sets an Event within a signal handler, while the main thread
    # waits for it or sets it too, waits for itself.
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: asked.append(received))
    parent = os.getppid()
    sweeper = app.sweeper()
    name = process_name("sweeper")
    sampler = Sampler(app.store, app.verifier(name), app.queue, app.clock, app.settings)
    lookout = Lookout(lambda: look(app), app.clock, period=LOOK_SECONDS)
    metrics = Metrics(app.registry.tables(), Shared(app, lambda: lookout.latest))
    told = own_registry("sweeper", metrics, revision=app.settings.revision)
    serve(told, app.settings.metrics_host, app.settings.metrics_port)
    log.info("sweeper_started")
    leader = Leader(app.locks, name, app.settings.sweep_interval)
    with lookout if app.settings.metrics_port else nullcontext():
        while _pause(app.settings.sweep_interval, asked) and os.getppid() == parent:
            go_round(leader, sweeper, sampler, metrics, app.counts)
            app.send_counts()
            take_reading(app.readings, app.clock, metrics)
    leader.resign()
    log.info("sweeper_stopped")


def go_round(
    leader: Leader, sweeper: Sweeper, sampler: Sampler, metrics: Metrics, counts: Counts
) -> None:
    """One pass, if we lead; whoever does not lead shows nothing of what it once found.

    While nobody can tell who leads, who led goes on to show how things stand.
    """
    leads, drift = metrics.leads, None
    try:
        leads = leader.leads()
        if leads:
            swept = sweeper.sweep()
            counts.add(ENQUEUED_AGAIN, n=swept.enqueued)
            counts.add(ORPHANED, n=swept.deaths)
            counts.add(SWEEPS, ("done",))
            drift = sampler.look()
    except (RedisError, PyMongoError, Unavailable) as error:
        log.warning("sweep_failed", error=str(error)[:300])
        counts.add(SWEEPS, ("failed",))
        drift = metrics.drift
    metrics.tell(drift if leads else None, leads=leads)


def take_reading(readings: Readings, clock: Clock, metrics: Metrics) -> None:
    """Note where the counts stand, if we lead and it is time; what can't be noted is a gap."""
    try:
        if metrics.leads:
            readings.take(clock.now())
    except RedisError as error:
        log.warning("reading_not_taken", error=str(error)[:300])


def _pause(seconds: float, asked: list[int]) -> bool:
    """Wait between two passes; False as soon as we were asked to end."""
    end = time.monotonic() + seconds
    while not asked and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, NAP_SECONDS))
    return not asked


class Leader:
    """One sweeper of several sweeps: the one that holds the lease; the others stand by.

    Two at once would do no harm, only the work twice.
    """

    def __init__(self, locks: Locks, name: str, interval: float) -> None:
        self._locks = locks
        self._name = name
        self._ttl_ms = int(max(SHORTEST_TERM, 3 * interval) * 1000)
        self._lease: Lease | None = None
        self._led = False

    def leads(self) -> bool:
        """Whether we hold the lease now, which this prolongs.

        Raises:
            Unavailable: Redis is away.
        """
        self._lease = self._locks.take([LEADER], self._name, ttl_ms=self._ttl_ms)
        leads = not self._lease.busy
        if leads != self._led:
            log.info("sweeper_leads" if leads else "sweeper_stands_by", now=leads)
            self._led = leads
        return leads

    def resign(self) -> None:
        """Let another sweeper begin at once."""
        if self._lease is not None and self._led:
            self._locks.release(self._lease)
