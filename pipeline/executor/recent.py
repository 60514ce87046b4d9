"""What a worker has just written and is likely to be asked for next: its own memory.

The observers of a fold mostly run in the worker that ran the fold, a moment later. Using
what is remembered is as safe as planning ahead of the transaction: where a late event has
changed a row since, it has written the observers' ledger rows too, so inserting theirs
fails, and the next try reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pipeline.store import Batch, EventRecord, Records
from pipeline.temporal import Transition

REMEMBERED: Final = 2_000
"""Events of which records and changes are kept: a few large batches, or many small ones."""

Transitions = dict[str, dict[str, Transition]]
"""By name of the fold and event key, what the fold made of the event."""


class Seen(NamedTuple):
    """The events of a batch, and what they changed."""

    records: Mapping[str, EventRecord]
    transitions: Transitions


class Recent:
    """By the id of a batch that is to follow, what it will read; the oldest forgotten first."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._seen: dict[str, Seen] = {}
        self._events = 0

    def note(self, batch: str, seen: Seen) -> None:
        """Remember it until it is taken."""
        self.take(batch)
        self._seen[batch] = seen
        self._events += len(seen.records)
        while self._events > self._limit:
            self.take(next(iter(self._seen)))

    def take(self, batch: str) -> Seen | None:
        """What was noted for the batch, which is forgotten with this."""
        seen = self._seen.pop(batch, None)
        if seen is not None:
            self._events -= len(seen.records)
        return seen

    def read(self, tx: Records, batches: Sequence[Batch]) -> Seen:
        """What batches will need: what is remembered, and from MongoDB the events that are not.

        What was remembered of them is forgotten with this.
        """
        records: dict[str, EventRecord] = {}
        transitions: Transitions = {}
        for batch in batches:
            seen = self.take(batch.id)
            if seen is not None:
                records |= seen.records
                for root, changes in seen.transitions.items():
                    transitions.setdefault(root, {}).update(changes)
        missing = [e for batch in batches for e in batch.events if e not in records]
        if missing:
            records |= tx.events.load(missing)
        return Seen(records, transitions)
