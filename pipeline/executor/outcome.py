"""What came of a run; in memory only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pipeline.store import Batch, LedgerRow, LedgerState


class Failure(NamedTuple):
    """An event that had no effect in a handler.

    Attributes:
        row: its ledger row, with the error.
        batch: the batch of one it has now.
        due_at: when that is run; None where only a person puts it back, or nobody.
    """

    row: LedgerRow
    batch: Batch
    due_at: datetime | None

    @property
    def pending(self) -> bool:
        """Whether it stays in the outbox, as a dead letter does."""
        return self.row.state is not LedgerState.CANCELLED


class HeldBack(NamedTuple):
    """An event that waits for its predecessor.

    Attributes:
        row: its ledger row.
        batch: the batch of one it has now.
        due_at: when it is applied at the latest.
    """

    row: LedgerRow
    batch: Batch
    due_at: datetime


@dataclass(slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        claimed: False where all of it had been done before.
        done: effects committed, of any handler on any event.
        repeated: effects that had been there before.
        late: how many events were out of order for their document.
        failures: events that had no effect.
        held: events that wait for their predecessors.
        following: batches to be enqueued: of the handlers that follow, or parts of this one.
        along: batches of observers that were taken along, and so are done.
        rows: the ledger rows of effects committed, as far as they are known.
    """

    claimed: bool = True
    done: int = 0
    repeated: int = 0
    late: int = 0
    failures: list[Failure] = field(default_factory=list)
    held: list[HeldBack] = field(default_factory=list)
    following: list[Batch] = field(default_factory=list)
    along: list[Batch] = field(default_factory=list)
    rows: Sequence[LedgerRow] = ()

    @classmethod
    def sum(cls, outcomes: Iterable[Outcome]) -> Outcome:
        """Several outcomes as one."""
        total = cls(claimed=False)
        for one in outcomes:
            total.claimed |= one.claimed
            total.done += one.done
            total.repeated += one.repeated
            total.late += one.late
            total.failures += one.failures
            total.held += one.held
            total.following += one.following
            total.along += one.along
            total.rows = [*total.rows, *one.rows]
        return total
