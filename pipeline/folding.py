"""Folding events into one document, in their order, whatever order they arrived in.

Pure: states and rows in, states and rows out. The live run, the refold after a late event, and
an undo all call `fold`.

A late event is folded from the state before it, and so are the rows after it, until a row
comes out as it was: from there on nothing can differ any more, and no more rows are asked
for. An event that is taken out is passed over in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from itertools import chain
from typing import Any, Final, NamedTuple

from pipeline.declarations import Fold
from pipeline.errors import HandlerFault, RefoldTooLarge
from pipeline.event import Event, moment_of
from pipeline.state import State
from pipeline.temporal import Row, row_id
from pipeline.updates import Update, assign

MOST_ROWS: Final = 5_000
"""Stored rows that are rewritten in one transaction at the most; what changes more is refused."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A document as it stands: its fields, and order and time of the last event in it."""

    state: dict[str, Any]
    order: str
    event_at: datetime


class Kept(NamedTuple):
    """A row as it is stored, and the event that made it."""

    row: Row
    event: Event


class Past(NamedTuple):
    """What is known of a document before new events are folded into it.

    Attributes:
        standing: the document as it stands, or None where there is none.
        later: what is stored from the first event on that is to be folded or taken out, in
            order. It is read no further than something can differ, and only once.
    """

    standing: Standing | None
    later: Iterable[Kept] = ()

    def without_later(self) -> Past:
        """The same document, for events that come after all it has seen."""
        return Past(self.standing)


@dataclass(slots=True)
class Folded:
    """What folding some events into one document comes to.

    Attributes:
        key: the document's id.
        state: its fields afterwards; None where it has no event.
        order: order of the last event in it.
        event_at: time of that event.
        new: rows to insert.
        rewritten: rows that another event before them has changed.
        affected: those of the rewritten ones whose state before or after differs.
        removed: rows to remove: of events taken out, and of those that fail without them.
        stood: by event key, the affected and the removed rows as they were.
        closed: by row id, the end of validity of the row before the first change.
        wrote: by event key, the fields that the new event set.
        faults: by event key, why the new event could not be applied.
        fallen: by event key, why a stored event can't be applied any more.
    """

    key: str
    state: dict[str, Any] | None = None
    order: str | None = None
    event_at: datetime | None = None
    new: list[Row] = field(default_factory=list)
    rewritten: list[Row] = field(default_factory=list)
    affected: list[Row] = field(default_factory=list)
    removed: list[Row] = field(default_factory=list)
    stood: dict[str, Row] = field(default_factory=dict)
    closed: dict[str, datetime | None] = field(default_factory=dict)
    wrote: dict[str, Update] = field(default_factory=dict)
    faults: dict[str, Exception] = field(default_factory=dict)
    fallen: dict[str, Exception] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.wrote or self.removed)


def fold(
    action: Fold, key: str, past: Past, events: Sequence[Event], without: Collection[str] = ()
) -> Folded:
    """Fold events into one document, or take stored ones out of it.

    Args:
        action: the fold.
        key: the document's id.
        past: what is known of the document.
        events: new events of this document, in order.
        without: keys of stored events that are to be as if they had never come.

    Returns:
        What to write. An event that the handler refuses is a fault and leaves no trace. Where
        a late event makes a later one fail, or changes too many rows, the late ones are the
        faults; where a later one fails since another is taken out, it falls, and leaves no
        trace either.

    Raises:
        RefoldTooLarge: taking the events out changes more than 5,000 rows.
    """
    try:
        return _walk(action, key, past, events, without)
    except (_LaterEventFailed, RefoldTooLarge) as failed:
        if past.standing is None or without:
            raise
        newest = past.standing.order
        in_order = [event for event in events if event.order > newest]
        folded = _walk(action, key, past.without_later(), in_order, ())
        late = (event.key for event in events if event.order < newest)
        cause = failed.cause if isinstance(failed, _LaterEventFailed) else failed
        folded.faults |= dict.fromkeys(late, cause)
        return folded


def ensure_bounded(folded: Sequence[Folded]) -> None:
    """Refuse to rewrite more in one transaction than it holds, where it can be divided.

    Raises:
        RefoldTooLarge: several documents change more than 5,000 rows together.
    """
    rewritten = sum(len(one.rewritten) for one in folded)
    if len(folded) > 1 and rewritten > MOST_ROWS:
        raise RefoldTooLarge(f"{len(folded):,} documents change {rewritten:,} rows")


class _LaterEventFailed(Exception):
    """An event that was applied before can't be, now that another came before it."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class _Step(NamedTuple):
    """An event applied: its row, but for the end of its validity, which the next one tells."""

    event: Event
    prev: str | None
    state: dict[str, Any]
    changed: dict[str, Any] | None
    stored: Row | None


def _walk(
    action: Fold, key: str, past: Past, events: Sequence[Event], without: Collection[str]
) -> Folded:
    folded = Folded(key)
    later = iter(past.later)
    first = next(later, None)
    fields, prev = base = _base(past.standing, first)
    state = None if fields is None else action.state.model_validate(fields)
    unapplied = {event.key for event in events}.union(without)
    steps: list[_Step] = []
    settled: Row | None = None
    for event, stored in _in_order(events, first, later):
        if stored is not None and not unapplied and (stored.prev, stored.before) == (prev, fields):
            settled = stored
            break
        unapplied.discard(event.key)
        if stored is not None:
            if event.key in without:
                folded.removed.append(stored)
                continue
            if len(steps) >= MOST_ROWS:
                raise RefoldTooLarge(_too_large(action, key))
        try:
            state_after, after = _apply(action, state, event)
            changed = _changed(fields, after)
            if stored is None:
                folded.wrote[event.key] = _written(after, changed)
        except Exception as error:
            if stored is None:
                folded.faults[event.key] = error
            elif without:
                folded.fallen[event.key] = error
                folded.removed.append(stored)
            else:
                raise _LaterEventFailed(error) from error
            continue
        steps.append(_Step(event, prev, after, changed, stored))
        state, fields, prev = state_after, after, event.order
    rows = _linked(key, steps, settled)
    _sort_out(folded, rows, steps)
    _close(folded, base[1], first, rows, settled)
    _stand(folded, past.standing if settled else None, rows, base)
    return folded


_Base = tuple[dict[str, Any] | None, str | None]


def _base(standing: Standing | None, first: Kept | None) -> _Base:
    """State and order just before the first event to fold."""
    if first is not None:
        return first.row.before, first.row.prev
    if standing is not None:
        return standing.state, standing.order
    return None, None


def _in_order(
    events: Sequence[Event], first: Kept | None, later: Iterator[Kept]
) -> Iterator[tuple[Event, Row | None]]:
    """New and stored events as one, each with its row if it has one."""
    fresh = ((event, None) for event in events)
    if first is None:
        return fresh
    stored = ((kept.event, kept.row) for kept in chain((first,), later))
    return merge(fresh, stored, key=_order)


def _order(pair: tuple[Event, Row | None]) -> str:
    return pair[0].order


def _too_large(action: Fold, key: str) -> str:
    return (
        f"it changes more than {MOST_ROWS:,} later rows of {action.table}[{key}], which is more "
        f"than one transaction holds; a new event can say how it is now"
    )


def _linked(key: str, steps: Sequence[_Step], settled: Row | None) -> list[Row]:
    """Rows, each valid until the next one's event."""
    rows: list[Row] = []
    end = settled.valid_from if settled else None
    for event, prev, state, changed, _ in reversed(steps):
        rows.append(Row(key, event.order, event.key, prev, event.occurred_at, end, state, changed))
        end = event.occurred_at
    rows.reverse()
    return rows


def _sort_out(folded: Folded, rows: Sequence[Row], steps: Sequence[_Step]) -> None:
    """Which rows are new, rewritten or affected."""
    for row, step in zip(rows, steps, strict=True):
        stored = step.stored
        if stored is None:
            folded.new.append(row)
        elif stored != row:
            folded.rewritten.append(row)
            if (stored.before, stored.state) != (row.before, row.state):
                folded.affected.append(row)
                folded.stood[row.event] = stored
    folded.stood |= {row.event: row for row in folded.removed}


def _close(
    folded: Folded,
    base_order: str | None,
    first: Kept | None,
    rows: Sequence[Row],
    settled: Row | None,
) -> None:
    """The row before the first change is valid until whatever follows it now."""
    following = rows[0] if rows else settled
    end = following.valid_from if following else None
    was = first.row.valid_from if first else None
    if base_order is not None and end != was:
        folded.closed[row_id(folded.key, base_order)] = end


def _stand(folded: Folded, unchanged: Standing | None, rows: Sequence[Row], base: _Base) -> None:
    """How the document stands: as before where its last rows are, or as the last row says."""
    if unchanged is not None:
        folded.state, folded.order = unchanged.state, unchanged.order
        folded.event_at = unchanged.event_at
    elif rows:
        last = rows[-1]
        folded.state, folded.order, folded.event_at = last.state, last.order, last.valid_from
    elif folded.removed and base[1] is not None:
        folded.state, folded.order = base
        folded.event_at = moment_of(base[1])


def _apply(action: Fold, state: State | None, event: Event) -> tuple[State, dict[str, Any]]:
    """The state after the event, as the handler and as MongoDB know it."""
    after = action.function(state, event)
    if not isinstance(after, State):
        raise HandlerFault(f"{action.name} returned {after!r}; a fold returns its state")
    return after, after.stored()


def _changed(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any] | None:
    """Old values of the fields that differ; None where there was no document."""
    if before is None:
        return None
    return {name: value for name, value in before.items() if after[name] != value}


def _written(after: dict[str, Any], changed: dict[str, Any] | None) -> Update:
    """The fields that an event set; raises UpdateError for what MongoDB can't hold."""
    return assign(after if changed is None else {name: after[name] for name in changed})
