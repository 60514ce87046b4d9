"""Sweeping: find work that no job stands for, and enqueue it.

MongoDB says what is pending, Redis what is queued, heartbeats what is running. What is
pending and overdue, but neither queued nor running, was lost on the way (a worker killed,
Redis wiped, an enqueue that failed) or has waited out its backoff; it is enqueued again.
Doing so once too often is harmless, since a batch is claimed in its own transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.queue import Heartbeats, JobQueue
from pipeline.settings import Settings
from pipeline.store import Store

PASS_LIMIT: Final = 2000
"""Most batches looked at in one pass; the next pass goes on."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one pass found.

    Attributes:
        due: overdue batches looked at.
        enqueued: those that had no job, and have one now.
    """

    due: int
    enqueued: int


def sweep(
    store: Store, queue: JobQueue, heartbeats: Heartbeats, clock: Clock, settings: Settings
) -> Sweep:
    """One pass.

    Raises:
        redis.RedisError: Redis is away; nothing was enqueued, and the next pass tries again.
        pymongo.errors.PyMongoError: MongoDB is away; as above.
    """
    due = store.records.batches.due(clock.now(), PASS_LIMIT)
    if not due:
        return Sweep(0, 0)
    live = {job for job in heartbeats.running().values() if job}
    missing = queue.missing(due, live)
    if queue.enqueue(missing):
        again = clock.now() + timedelta(seconds=settings.rescue_after)
        store.records.batches.postpone([batch.id for batch in due], again)
    if missing:
        queue.forget_dead_executions(live)
        log.info("batches_enqueued_again", due=len(due), enqueued=len(missing))
    return Sweep(len(due), len(missing))
