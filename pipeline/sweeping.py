"""The sweeper's pass: find work that no job stands for, and enqueue it again.

MongoDB says what is to be done (the outbox), Redis what is being done about it. What is
pending and overdue, but neither queued nor running, was lost on the way (a worker killed,
Redis wiped, an enqueue that failed) or has waited out its backoff; it is enqueued again.
Doing so once too often is harmless, since a batch is claimed in its own transaction. What
waits for a moment or a person is at least shown by RQ, so that is put right as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.errors import UnknownHandler
from pipeline.executor import Rescuer, Turns
from pipeline.executor.rescue import RESCUER
from pipeline.locks import Locks
from pipeline.queue import Heartbeats, JobQueue, Report
from pipeline.registry import Registry
from pipeline.reporting import report
from pipeline.settings import Settings
from pipeline.shelving import Shelver
from pipeline.store import Batch, Store
from pipeline.verification import HANDLER, History, Verifier

PASS_LIMIT: Final = 2000
"""Most batches looked at in one pass; the next pass goes on."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one pass found.

    Attributes:
        due: overdue batches looked at.
        enqueued: those that had no job, and have one now.
        deaths: batches that a worker died of.
        shown: batches that wait after a failure, which RQ's registries show again.
    """

    due: int = 0
    enqueued: int = 0
    deaths: int = 0
    shown: int = 0


class Sweeper:
    """Makes passes.

    Args:
        store: the outbox.
        registry: the handlers.
        queue: the lanes.
        heartbeats: which workers live.
        locks: the lines in which batches of ordered handlers wait.
        clock: wall time.
        settings: limits.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        queue: JobQueue,
        heartbeats: Heartbeats,
        locks: Locks,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._store = store
        self._queue = queue
        self._heartbeats = heartbeats
        self._clock = clock
        self._settings = settings
        self._rescuer = Rescuer(store, registry, clock, settings, Turns(locks))
        self._shelver = Shelver(store, queue, clock)
        self._history = History(store, clock)
        self._verifier = Verifier(store, registry, clock, settings, worker=RESCUER)

    def sweep(self) -> Sweep:
        """One pass.

        Raises:
            redis.RedisError: Redis is away; the next pass does what this one did not.
            pymongo.errors.PyMongoError, Unavailable: MongoDB is away; as above.
        """
        self._history.look()
        # In this order: a worker that begins in between would be taken for one that died.
        started = self._queue.started()
        running = self._heartbeats.running()
        deaths = self._rescue(self._queue.orphaned(started, running.keys()))
        due = self._store.records.batches.due(self._clock.now(), PASS_LIMIT)
        missing = self._enqueue(due, {job for jobs in running.values() for job in jobs})
        # After that, so that what is due now is not shown as if it still waited.
        return Sweep(len(due), missing, deaths, self._shelver.look())

    def _enqueue(self, due: Sequence[Batch], live: set[str]) -> int:
        """Enqueue what no job stands for, and look at all of it again later; how many."""
        if not due:
            return 0
        missing = self._queue.missing(due, live)
        enqueued = self._queue.put_back(missing)
        if enqueued is None:
            return 0
        # Those there was no room for stay due, so that the next pass looks at them.
        left = {batch.id for batch in missing} - {batch.id for batch in enqueued}
        again = self._clock.now() + timedelta(seconds=self._settings.rescue_after)
        looked_at = [batch.id for batch in due if batch.id not in left]
        self._store.records.batches.postpone(looked_at, again)
        if enqueued:
            log.info("batches_enqueued_again", due=len(due), enqueued=len(enqueued))
        return len(enqueued)

    def _rescue(self, orphans: Sequence[str]) -> int:
        """Decide how batches go on whose workers died, and tell Redis."""
        if not orphans:
            return 0
        pending = self._store.records.batches.pending(orphans)
        units = {name: batch for name, batch in pending.items() if batch.handler == HANDLER}
        for batch, suspect in zip(orphans, self._heartbeats.suspects(orphans), strict=True):
            if batch in units:
                log.warning("worker_died", job=batch, unit=units[batch].events[0])
                self._queue.tell(Report(self._verifier.rescue(units[batch])))
                continue
            try:
                outcome = self._rescuer.rescue(batch, suspect)
            except UnknownHandler as error:
                log.warning("batch_of_unknown_handler", job=batch, error=str(error))
                continue
            log.warning(
                "worker_died",
                job=batch,
                suspect=suspect,
                set_aside=len(outcome.failures),
                pending=outcome.claimed,
            )
            self._queue.tell(report(outcome))
        return len(orphans)
