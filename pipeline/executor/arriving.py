"""How the events of a fold's batch came: which wait for a predecessor, what was in disorder.

A fold whose events are not numbered pays for one comparison of each event with the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.declarations import Fold
from pipeline.disorder import Disorder, Newest, find_disorder
from pipeline.event import Event
from pipeline.executor.plan import MILLISECOND, Result
from pipeline.folding import Folded
from pipeline.holding import Held, HoldEnd, admit
from pipeline.numbering import Numbering
from pipeline.store import LedgerState

Document = dict[str, Any]

Graces = Callable[[str, str], int]
"""How long events of a handler and a tenant wait for their predecessor, in milliseconds."""


VoidedOf = Callable[[Collection[tuple[str, str]]], Iterable[tuple[str, Event]]]
"""By tenant and id of entities, their events that were taken back, each with its document's key."""


def no_grace(_handler: str, _tenant: str) -> int:
    """Nothing waits."""
    return 0


@dataclass(frozen=True, slots=True)
class Holds:
    """What may be held back, and what has been.

    Attributes:
        grace: how long, as it is set now.
        now: the time of the run.
        held: by event key, what the ledger says of events that were held back before.
    """

    grace: Graces
    now: datetime
    held: Mapping[str, Held] = field(default_factory=dict)

    def until(self, handler: str, event: Event) -> datetime | None:
        """Until when the event may wait; None where that is over, or it may not at all."""
        grace = self.grace(handler, event.tenant) * MILLISECOND
        if not grace:
            return None
        before = self.held.get(event.key)
        if before is None:
            return self.now + grace
        return before.until if before.end is None and self.now < before.until else None


@dataclass(slots=True)
class Arrivals:
    """The events of a batch that are applied, and those that are not yet.

    Attributes:
        by_key: by document, its events in the order in which they came or were let in.
        numbering: by document, the numbers seen, where the fold's events are numbered; once
            `disorder` has been asked, those applied are among them.
        waiting: by event key, the results of events that are held back.
        ended: by event key, of events held back before, how that ended.
    """

    by_key: dict[str, list[Event]]
    numbering: dict[str, Numbering] = field(default_factory=dict)
    waiting: dict[str, Result] = field(default_factory=dict)
    ended: dict[str, Held] = field(default_factory=dict)

    def disorder(self, folded: Folded, stood: Document | None) -> dict[str, Disorder]:
        """What was wrong with the coming of the events applied to a document, by event key."""
        arrived = self.by_key[folded.key]
        if folded.faults:
            arrived = [event for event in arrived if event.key in folded.wrote]
        newest = None
        if stood is not None:
            newest = Newest(stood["_sync"]["order"], stood["_sync"]["event_at"])
        found = find_disorder(arrived, newest, self.numbering.get(folded.key))
        again = len(folded.rewritten)
        if again and newest is not None:
            for event in arrived:
                if event.order < newest.order:
                    found[event.key] = found[event.key]._replace(refolded=again)
        return found


def sort_out(
    action: Fold,
    by_key: dict[str, list[Event]],
    documents: Mapping[str, Document],
    holds: Holds,
    voided: VoidedOf,
) -> Arrivals:
    """Decide which events are applied now.

    Args:
        action: the fold.
        by_key: by document, its events in the order in which they came.
        documents: those of the documents that exist.
        holds: what may wait.
        voided: tells the events of some entities that were taken back. It is asked only where a
            document is new and begins with a gap.
    """
    first = action.numbered_from
    if first is None:
        return Arrivals(by_key)
    numbering = {key: _numbering(first, documents.get(key)) for key in by_key}
    _count_voided(first, by_key, documents, numbering, voided)
    arrivals = Arrivals(dict(by_key), numbering)
    for key, events in by_key.items():
        # A document's key begins with its tenant, so its events have one and the same.
        if holds.held or holds.grace(action.name, events[0].tenant):
            _hold_back(action, key, events, arrivals, holds)
    return arrivals


def _hold_back(
    action: Fold, key: str, events: list[Event], arrivals: Arrivals, holds: Holds
) -> None:
    admission = admit(
        events,
        arrivals.numbering[key].copy(),
        lambda event: holds.until(action.name, event) is not None,
    )
    arrivals.by_key[key] = admission.events
    for event in admission.waiting:
        until, before = holds.until(action.name, event), holds.held.get(event.key)
        if until is not None and event.seq is not None:
            held = before.again() if before else Held(holds.now, until, event.seq)
            arrivals.waiting[event.key] = Result(LedgerState.HELD, key, held=held)
    for event in admission.events:
        before = holds.held.get(event.key)
        if before is not None:
            by = HoldEnd.GRACE if event.key in admission.alone else HoldEnd.PREDECESSOR
            arrivals.ended[event.key] = before.ended(by, holds.now)


def _count_voided(
    first: int,
    by_key: Mapping[str, list[Event]],
    documents: Mapping[str, Document],
    numbering: Mapping[str, Numbering],
    voided: VoidedOf,
) -> None:
    """Count what was taken back as seen, where the document that told so is gone with it."""
    begun = [events for key, events in by_key.items() if key not in documents]
    entities = {
        (event.tenant, event.entity_id)
        for events in begun
        if _has_gap(first, events)
        for event in events
    }
    if entities:
        for key, event in voided(entities):
            if key in numbering and key not in documents:
                numbering[key].add(event)


def _has_gap(first: int, events: Sequence[Event]) -> bool:
    """Whether the number before one of them is not among them."""
    seen = {(event.source, event.seq) for event in events}
    return any(
        event.seq is not None and event.seq > first and (event.source, event.seq - 1) not in seen
        for event in events
    )


def _numbering(first: int, stood: Document | None) -> Numbering:
    if stood is None:
        return Numbering(first)
    sync = stood["_sync"]
    if "numbers" in sync:
        return Numbering(first, sync["numbers"])
    return Numbering.up_to(first, sync["order"])
