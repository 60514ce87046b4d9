"""Taking events in: make them durable, record what is to be done, enqueue it.

A return from `submit` means that the events are majority-committed in MongoDB, together
with the batches of work that follow from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from itertools import chain
from typing import Any, Final

from pipeline.clock import Clock
from pipeline.cutting import WINDOW, sections
from pipeline.declarations import Action, Fold
from pipeline.errors import EventRejected
from pipeline.event import Event, check_time, decode_payload, encode_payload
from pipeline.group_commit import GroupCommit
from pipeline.intake import Gate
from pipeline.metrics import Counts
from pipeline.metrics.submissions import Submissions
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, Records, Store, Taken

BATCH_BYTES: Final = 16 * 1024 * 1024
"""Most payload in one transaction; larger submissions are cut."""


@dataclass(slots=True)
class Receipt:
    """What became of submitted events.

    Attributes:
        accepted: keys of events that are stored now and were not before.
        duplicates: keys of events that were stored before, with the same content.
        conflicts: keys that were stored before with another content; the first one stays.
        unhandled: types among the accepted that no handler asks for, with how many.
        rejected: events that can't be accepted, with the reason.
    """

    accepted: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    unhandled: dict[str, int] = field(default_factory=dict)
    rejected: list[tuple[Event, EventRejected]] = field(default_factory=list)

    def add(self, other: Receipt) -> None:
        """Take in another receipt."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.conflicts += other.conflicts
        self.rejected += other.rejected
        for kind, count in other.unhandled.items():
            self.unhandled[kind] = self.unhandled.get(kind, 0) + count


class Fate(Enum):
    """What became of one submitted event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


Encoded = tuple[Event, bytes]


class Dispatcher:
    """Takes events in.

    Args:
        store: where they are made durable.
        registry: which handlers they go through.
        clock: for the time of receipt.
        settings: limits.
        enqueue: hands batches to RQ after the commit; allowed to fail.
        enlist: puts batches in the lines of the ids they will lock, where the handler keeps
            their order; allowed to fail.
        counts: where it is counted what was submitted.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        settings: Settings,
        enqueue: Callable[[Sequence[Batch]], object],
        enlist: Callable[[Mapping[str, Sequence[str]]], object] = lambda _lines: None,
        *,
        counts: Counts | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._enqueue = enqueue
        self._enlist = enlist
        self._submissions = Submissions(counts or Counts(), clock, settings.metrics_tenants)
        self._gate = Gate(store.records.batches.count_pending, clock, settings.max_pending)
        self._commit = GroupCommit(
            self._store_parts, lambda part: share_of(part, settings.batch_size)
        )

    def submit(self, events: Sequence[Event]) -> Receipt:
        """Make events durable and start their chains.

        Any number of events; each transaction takes up to a batch of them, those of other
        threads that submit few at the same time among them. More than a batch are cut along
        the documents they are about: of those the order is kept, but not among others. Events
        that can't be accepted are in the receipt with their reason and hold up no other.

        Raises:
            Overloaded: too much waits to be done; none of the events is stored.
            Unavailable: MongoDB did not answer in time. Events of the receipt's earlier
                batches may be stored; sending all of them again is harmless.
        """
        receipt = Receipt()
        with self._submissions.call(), self._gate.admitted():
            for part in self._parts(events, receipt):
                receipt.add(self._commit(part))
        self._submissions.rejected([event for event, _ in receipt.rejected])
        return receipt

    @property
    def window(self) -> int:
        """So many events are best submitted at once by whoever has them; more does no harm."""
        return WINDOW * self._settings.batch_size

    def _parts(self, events: Sequence[Event], receipt: Receipt) -> Iterator[list[Encoded]]:
        """Cut along the documents, then by count and bytes; leave out what can't be accepted."""
        for start in range(0, len(events), self.window):
            window = events[start : start + self.window]
            for section in sections(window, self._about, self._settings.batch_size):
                yield from self._by_size(section, receipt)

    def _by_size(self, section: Sequence[Event], receipt: Receipt) -> Iterator[list[Encoded]]:
        """Cut so that none has too many events, or too many bytes, for a transaction."""
        part: list[Encoded] = []
        size = 0
        now, limit = self._clock.now(), self._settings.max_payload_bytes
        for event in section:
            try:
                check_time(event, now=now, max_skew=self._settings.max_clock_skew)
                body = encode_payload(event.payload, max_bytes=limit)
            except EventRejected as rejection:
                receipt.rejected.append((event, rejection))
                continue
            full = len(part) == self._settings.batch_size
            if full or (part and size + len(body) > BATCH_BYTES):
                yield part
                part, size = [], 0
            part.append((event, body))
            size += len(body)
        if part:
            yield part

    def _about(self, event: Event) -> list[str]:
        """The documents that its folds write, and its identity: of two alike the first stays."""
        return [*_locks(self._registry.actions_for(event.type), event), event.key]

    def _store_parts(self, parts: Sequence[Sequence[Encoded]]) -> list[Receipt]:
        """Store the events of some submissions in one transaction, and start their chains."""
        together = [encoded for part in parts for encoded in part]
        keys = {event.key for event, _ in together}

        # We expect every key to be new: inserting is the check. If one is there, that undoes
        # the transaction, and the next try looks first.
        doubtful = len(keys) < len(together)

        def record(tx: Records) -> tuple[list[Fate], list[Batch]]:
            nonlocal doubtful
            stored = tx.events.load(list(keys)) if doubtful else {}
            try:
                return self._record(tx, together, stored)
            except Taken:
                doubtful = True
                raise

        fates, batches = self._store.transact(record)
        new = [one for one, fate in zip(together, fates, strict=True) if fate is Fate.ACCEPTED]
        receipts = self._receipts(parts, fates)
        self._count(new, receipts)
        self._enlist(self._lines(batches, new))
        self._enqueue(batches)
        return receipts

    def _receipts(self, parts: Sequence[Sequence[Encoded]], fates: Sequence[Fate]) -> list[Receipt]:
        """To each submission what became of its events."""
        fate = iter(fates)
        receipts = []
        for part in parts:
            receipt = Receipt()
            kept = {
                Fate.ACCEPTED: receipt.accepted,
                Fate.DUPLICATE: receipt.duplicates,
                Fate.CONFLICT: receipt.conflicts,
            }
            for (event, _), became in zip(part, fate, strict=False):
                kept[became].append(event.key)
                if became is Fate.ACCEPTED and not self._registry.actions_for(event.type):
                    receipt.unhandled[event.type] = receipt.unhandled.get(event.type, 0) + 1
            receipts.append(receipt)
        return receipts

    def _count(self, new: Sequence[Encoded], receipts: Sequence[Receipt]) -> None:
        """Count what was stored and what was turned away; it is sent with the batches."""
        self._submissions.accepted([event for event, _ in new], self._clock.now())
        self._submissions.turned_away(
            [key for receipt in receipts for key in receipt.duplicates],
            [key for receipt in receipts for key in receipt.conflicts],
        )

    def _lines(self, batches: Sequence[Batch], part: Sequence[Encoded]) -> dict[str, list[str]]:
        """By batch, the ids that its events lock, where their handler keeps the order."""
        lines: dict[str, list[str]] = {}
        for batch in batches:
            handler = self._registry.handler(batch.handler)
            if isinstance(handler, Fold) and handler.ordered:
                wanted = set(batch.events)
                of = (_locks([handler], event) for event, _ in part if event.key in wanted)
                lines[batch.id] = list(dict.fromkeys(chain.from_iterable(of)))
        return lines

    def _record(
        self, tx: Records, together: Sequence[Encoded], stored: Mapping[str, EventRecord]
    ) -> tuple[list[Fate], list[Batch]]:
        """Store what is new among the events, and what follows from it."""
        now = self._clock.now()
        known = {key: record.event for key, record in stored.items()}
        fates: list[Fate] = []
        new: list[Encoded] = []
        for event, body in together:
            first = known.get(event.key)
            if first is None:
                known[event.key] = event
                new.append((event, body))
                fates.append(Fate.ACCEPTED)
            else:
                fates.append(Fate.DUPLICATE if _same(first, event) else Fate.CONFLICT)
        if new:
            tx.events.insert(new, now)
        tx.events.note_repeats(
            _keys(together, fates, Fate.DUPLICATE), _keys(together, fates, Fate.CONFLICT)
        )
        batches = self._batches([event for event, _ in new])
        tx.batches.insert(
            batches,
            created_at=now,
            due_at=now + timedelta(seconds=self._settings.rescue_after),
        )
        return fates, batches

    def _batches(self, events: Sequence[Event]) -> list[Batch]:
        """One batch for each action that these events go to."""
        keys: dict[str, list[str]] = {}
        lanes: dict[str, str] = {}
        for event in events:
            for action in self._registry.actions_for(event.type):
                keys.setdefault(action.name, []).append(event.key)
                lanes[action.name] = action.lane
        return [Batch.of(name, events, lanes[name]) for name, events in keys.items()]


def share_of(part: Sequence[Encoded], most: int) -> float:
    """How much of a transaction's room events take, by their number or their bytes; 1 is all.

    Args:
        part: the events, encoded.
        most: events of one transaction.
    """
    return max(len(part) / most, sum(len(body) for _, body in part) / BATCH_BYTES)


def _keys(events: Sequence[Encoded], fates: Sequence[Fate], fate: Fate) -> list[str]:
    """Keys of the events that met this fate."""
    return [event.key for (event, _), met in zip(events, fates, strict=True) if met is fate]


def _locks(actions: Iterable[Action], event: Event) -> list[str]:
    """The ids that the event locks; what has no key fails in its fold, which records it."""
    found = []
    for action in actions:
        if isinstance(action, Fold):
            with suppress(Exception):
                found.append(action.lock(event))
    return found


def _same(one: Event, other: Event) -> bool:
    """Whether two events of one key say the same; the order of JSON keys says nothing."""
    return _content(one) == _content(other)


def _content(event: Event) -> tuple[Any, ...]:
    payload = json.dumps(decode_payload(encode_payload(event.payload)), sort_keys=True)
    return event.type, event.entity_id, event.seq, event.occurred_at, payload
