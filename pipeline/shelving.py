"""Showing again, in RQ's registries, what waits after a failure and Redis has forgotten.

MongoDB knows every dead letter and every event that waits for another attempt; RQ's
registries of failed and scheduled jobs only show them. A wipe empties these, RQ forgets a
failed job after a month, and a heal that fails does not tell RQ. So from time to time all
rows that are not final are held against Redis, page by page, and what it lacks is shelved.

What Redis holds any job of is left alone: it may be on its way from a shelf to a worker.
"""

from __future__ import annotations

from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.queue import JobQueue, Report
from pipeline.reporting import shelved
from pipeline.store import LedgerState, Place, Store, Where
from pipeline.store.batches import batch_id

PAGE: Final = 500
"""Rows looked at in one pass; the next pass goes on."""
REST_SECONDS: Final = 60
"""How long the shelves are left alone once all rows have been looked at."""
LOOKED: Final = "looked"
"""All rows have been looked at."""
LOOKING: Final = "looking"
"""A sweeper is at it; should it die, another one begins when the note's time is over."""
WAITING: Final = (LedgerState.DEAD, LedgerState.RETRYING, LedgerState.SNOOZED)

log = structlog.get_logger(__name__)


class Shelver:
    """Makes passes; one that has nothing to do costs one question to Redis.

    Args:
        store: knows what waits.
        queue: the registries.
        clock: wall time.
    """

    def __init__(self, store: Store, queue: JobQueue, clock: Clock) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._after: Place | None = None

    def look(self) -> int:
        """One pass; returns how many were shown again.

        Raises:
            redis.RedisError: Redis is away; the next pass does what this one did not.
            pymongo.errors.PyMongoError: MongoDB is away; as above.
        """
        note = self._queue.note_of_shelves()
        if note == LOOKED or (note == LOOKING and self._after is None):
            return 0
        if not note:
            # Time is over, or Redis was wiped, maybe when we were half through.
            self._after = None
        trouble = self._store.records.trouble
        places = trouble.places(WAITING, Where(), limit=PAGE, after=self._after)
        shown = self._show(places)
        self._after = places[-1] if len(places) == PAGE else None
        self._queue.note_shelves(LOOKED if self._after is None else LOOKING, REST_SECONDS)
        return shown

    def _show(self, places: list[Place]) -> int:
        rows = {}
        for place in places:
            event, _, handler = place.id.rpartition("|")
            rows[batch_id(handler, [event])] = place.id
        forgotten = self._queue.unknown(list(rows))
        if not forgotten:
            return 0
        records, now = self._store.records, self._clock.now()
        waiting = records.batches.waiting(forgotten)
        found = records.ledger.rows([rows[batch] for batch in forgotten])
        shelves = [
            shelved(batch, due_at, found[rows[batch.id]])
            for batch, due_at in waiting.values()
            if rows[batch.id] in found and (due_at is None or due_at > now)
        ]
        if not shelves or not self._queue.tell(Report(shelved=shelves)):
            return 0
        log.info("shown_again", batches=len(shelves))
        return len(shelves)
