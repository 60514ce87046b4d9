"""Turns in the lines of ids, for handlers that keep the order of the queue.

A batch that can't have an id yet stands in the id's line, under its own name. What becomes
of the batch decides who has its turn next: nobody, the part of it that is put off, or the
parts it was cut into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.declarations import Fold, Handler
from pipeline.locks import Locks
from pipeline.store import Batch, EventRecord

Keys = dict[str, str]
"""By event key, the lock of the document that the event touches."""


class Turns:
    """Moves batches in the lines of their ids; nothing for handlers that keep no order.

    Args:
        locks: where the lines are. What they can't do is logged only: a ticket that nobody
            uses is dropped once it has kept others waiting for the patience.
    """

    def __init__(self, locks: Locks) -> None:
        self._locks = locks

    def leave(
        self, handler: Handler, batches: Sequence[Batch], events: Mapping[str, EventRecord]
    ) -> None:
        """Leave the lines of ids that the batches stood in."""
        if isinstance(handler, Fold) and handler.ordered:
            for batch in batches:
                keys = keys_of(handler, batch, events)
                self._locks.leave(batch.id, set(keys.values()))

    def cut(
        self,
        handler: Handler,
        batch: Batch,
        parts: Sequence[Batch],
        events: Mapping[str, EventRecord],
    ) -> None:
        """Let the parts that a batch was cut into have its turn, one after the other."""
        if not (isinstance(handler, Fold) and handler.ordered):
            return
        before: dict[str, str] = {}
        for part in parts:
            keys = set(keys_of(handler, part, events).values())
            self._locks.hand_on(batch.id, part.id, keys - before.keys())
            for ticket in {before[key] for key in keys & before.keys()}:
                shared = {key for key in keys if before.get(key) == ticket}
                self._locks.follow(ticket, part.id, shared)
            before |= dict.fromkeys(keys, part.id)
        if not parts:
            self.leave(handler, [batch], events)

    def hand_on(
        self, handler: Handler, batch: Batch, rest: Batch, events: Mapping[str, EventRecord]
    ) -> None:
        """Let the part of a batch that is put off keep its turn."""
        if isinstance(handler, Fold) and handler.ordered:
            keys = keys_of(handler, rest, events)
            self._locks.hand_on(batch.id, rest.id, set(keys.values()))


def keys_of(handler: Fold, batch: Batch, records: Mapping[str, EventRecord]) -> Keys:
    """The locks of a batch's events; an event without a key is left to fail in its handler."""
    keys: Keys = {}
    for event in batch.events:
        record = records.get(event)
        if record is not None:
            try:
                keys[event] = handler.lock(record.event)
            except Exception:  # noqa: BLE001, S112 - the fold meets it again and records it
                continue
    return keys
