"""What a handler's run on a batch comes to, before any of it is written."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from pipeline.declarations import Handler
from pipeline.disorder import Disorder
from pipeline.holding import Held
from pipeline.numbering import Numbering
from pipeline.store import Batch, EventRecord, LedgerRow, LedgerState, Records
from pipeline.temporal import Transition
from pipeline.updates import Update, assign, inc, maximum

TRACEBACK_CHARACTERS: Final = 4000
MILLISECONDS: Final = 1000
MILLISECOND: Final = timedelta(milliseconds=1)
NOTHING_WRITTEN: Final = Update.nothing()


Contested = dict[str, set[str]]
"""By table, derived documents that this batch writes and others may be writing as well."""


@dataclass(frozen=True, slots=True)
class Run:
    """The facts that all rows of one run share.

    Attributes:
        job: the RQ job; the first where several are run together.
        batches: by event key, the batch it is in. A row names its own batch, whose record tells
            of this run for good, and not the first one's, which may have to be run again.
        read_at: when it began to read.
        write_at: when it began to write.
        fence: the fence of its leases, if it has any.
    """

    job: str
    batches: Mapping[str, Batch]
    read_at: datetime
    write_at: datetime
    fence: int | None = None

    @property
    def stamp(self) -> dict[str, datetime]:
        """What every document keeps of the run that wrote it."""
        return {"read_at": self.read_at, "write_at": self.write_at}

    def stamped(self, event_at: datetime, contributions: int) -> Update:
        """The stamp as an update, for documents that are not written whole."""
        update = assign({"_sync.read_at": self.read_at, "_sync.write_at": self.write_at})
        update |= maximum({"_sync.event_at": event_at})
        return update | inc({"_sync.contributions": contributions})

    def row(self, handler: Handler, record: EventRecord, result: Result) -> LedgerRow:
        """The ledger row of a result."""
        event = record.event.key
        batch = self.batches.get(event)
        state, key, wrote, error, disorder, held = result
        # By place: with names it takes twice the time, for each event and handler.
        return LedgerRow(
            event,
            handler.name,
            state,
            key,
            wrote,
            batch.attempt + 1 if batch else 1,
            batch.id if batch else self.job,
            self.write_at,
            (self.write_at - record.received_at) // MILLISECOND,
            error,
            handler.version,
            None,
            disorder,
            held,
        )


class Result(NamedTuple):
    """What the handler did for one event."""

    state: LedgerState
    key: str | None = None
    wrote: Update = NOTHING_WRITTEN
    error: dict[str, str] | None = None
    disorder: Disorder | None = None
    held: Held | None = None


@dataclass(slots=True)
class Plan:
    """Results, faults, and how to write the documents.

    Attributes:
        results: by event key, for the events that went through.
        faults: by event key, for the others.
        write: writes the documents within the transaction, and notes the derived ones in
            `contested` before it does, so that another try can seize them first.
        changes: by event key, what a fold changed.
        fence: the highest fence under which the documents it read were written.
        waiting: by event key, for events that are held back; nothing is done about them yet.
        ended: by event key, for events that were held back before, how that ended.
        numbering: by document, the numbers it has seen with this plan, where they are kept.
    """

    results: dict[str, Result]
    faults: dict[str, Exception]
    write: Callable[[Records, Run, Contested], None]
    changes: dict[str, Transition] = field(default_factory=dict)
    fence: int = 0
    waiting: dict[str, Result] = field(default_factory=dict)
    ended: Mapping[str, Held] = field(default_factory=dict)
    numbering: Mapping[str, Numbering] = field(default_factory=dict)


def described(error: BaseException, stage: str) -> dict[str, str]:
    """An error as the ledger keeps it, its traceback cut from the front where it is long."""
    trace = "".join(traceback.format_exception(error))
    return {
        "type": type(error).__name__,
        "message": str(error)[:1000],
        "stage": stage,
        "traceback": trace[-TRACEBACK_CHARACTERS:],
    }
