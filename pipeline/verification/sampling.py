"""A part of all entities verified again and again, so that drift is seen before people see it.

Each time it is the next part, so that in the end everything was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipeline.clock import Clock
from pipeline.queue import JobQueue
from pipeline.settings import Settings
from pipeline.slots import Part
from pipeline.store import Store
from pipeline.store.verifications import SAMPLE, Verification
from pipeline.verification.passes import Verifier
from pipeline.verification.report import report_of

PARTS: Final = 256
LONGEST: Final = timedelta(hours=6)
"""A sample takes seconds of idle workers; one that is not done by then is given up."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What the last sample that is done has found.

    Attributes:
        part: which entities it looked at.
        documents: documents and temporal rows that it looked at.
        wrong: how many of them are wrong, by table.
        unknown: of how many things it can't be told.
        ended_at: when it was done.
    """

    part: str
    documents: int
    wrong: dict[str, int]
    unknown: int
    ended_at: datetime | None = None


class Sampler:
    """Begins samples, and tells what the last one has found.

    Args:
        store: where everything is kept.
        verifier: begins verifications.
        queue: the lanes.
        clock: wall time.
        settings: how often.
    """

    def __init__(
        self, store: Store, verifier: Verifier, queue: JobQueue, clock: Clock, settings: Settings
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._queue = queue
        self._clock = clock
        self._period = timedelta(seconds=settings.sample_interval)

    def look(self) -> Drift | None:
        """Begin the next sample if its time has come; what the last one that is done has found.

        Raises:
            redis.RedisError, pymongo.errors.PyMongoError, Unavailable: a server is away.
        """
        if not self._period:
            return None
        kept = self._store.records.verifications.newest(2, SAMPLE)
        done = next((one for one in kept if one.ended_at is not None), None)
        last = kept[0] if kept else None
        if last is not None and last.ended_at is None:
            self._give_up_late(last)
        if last is None or (
            last.ended_at is not None and self._clock.now() >= last.begun_at + self._period
        ):
            following = 0 if last is None else (Part.parse(last.scope).number + 1) % PARTS
            _, batches = self._verifier.begin(Part(following, PARTS), kind=SAMPLE)
            self._queue.enqueue(batches)
        if done is None:
            return None
        report = report_of(self._store, done.id, limit=1)
        return Drift(report.scope, report.documents, report.wrong, report.unknown, done.ended_at)

    def _give_up_late(self, sample: Verification) -> None:
        """End a sample whose time is over, so that it keeps no other from its turn."""
        if self._clock.now() < sample.begun_at + LONGEST:
            return
        units = self._store.read(lambda records: records.verifications.units(sample.id))
        for unit in units:
            why = f"no worker was done with it within {LONGEST}"
            self._queue.enqueue(self._verifier.give_up(unit.id, why))
