"""Folding events into one document, in their order, whatever order they arrived in.

Pure: states and rows in, states and rows out. The live run, the refold after a late event,
the replay in memory and the verification all call `fold`.

A late event is folded from the state before it, and so are the rows after it, until a row
comes out as it was: from there on nothing can differ any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, NamedTuple

from pipeline.declarations import Fold
from pipeline.errors import HandlerFault
from pipeline.event import Event
from pipeline.state import State
from pipeline.temporal import Row, row_id
from pipeline.updates import Update, assign


@dataclass(frozen=True, slots=True)
class Standing:
    """A document as it stands: its fields and the order of the last event in it."""

    state: dict[str, Any]
    order: str


class Past(NamedTuple):
    """What is known of a document before new events are folded into it.

    Attributes:
        standing: the document as it stands, or None where there is none.
        later: its rows later than the first of the new events, in order.
        known: the events of these rows, by key.
    """

    standing: Standing | None
    later: Sequence[Row]
    known: Mapping[str, Event]

    @property
    def base(self) -> tuple[dict[str, Any] | None, str | None]:
        """State and order just before the first event to fold."""
        if self.later:
            return self.later[0].before, self.later[0].prev
        if self.standing:
            return self.standing.state, self.standing.order
        return None, None

    def without_later(self) -> Past:
        """The same document, for events that come after all it has seen."""
        return Past(self.standing, (), {})


@dataclass(slots=True)
class Folded:
    """What folding some events into one document comes to.

    Attributes:
        key: the document's id.
        state: its fields afterwards; None where no event could be applied.
        order: order of the last event in it.
        event_at: time of that event.
        new: rows to insert.
        rewritten: rows that an earlier event, come late, has changed.
        affected: those of the rewritten ones whose state before or after differs.
        closed: by row id, the end of validity of the row before the first new one.
        wrote: by event key, the fields that the new event set.
        faults: by event key, why the event could not be applied.
    """

    key: str
    state: dict[str, Any] | None = None
    order: str | None = None
    event_at: datetime | None = None
    new: list[Row] = field(default_factory=list)
    rewritten: list[Row] = field(default_factory=list)
    affected: list[Row] = field(default_factory=list)
    closed: dict[str, datetime] = field(default_factory=dict)
    wrote: dict[str, Update] = field(default_factory=dict)
    faults: dict[str, Exception] = field(default_factory=dict)


def fold(action: Fold, key: str, past: Past, events: Sequence[Event]) -> Folded:
    """Fold events into one document.

    Args:
        action: the fold.
        key: the document's id.
        past: what is known of the document.
        events: new events of this document, in order.

    Returns:
        What to write. An event that the handler refuses is a fault and leaves no trace; where
        a late event makes a later one fail, the late ones are the faults.
    """
    try:
        return _walk(action, key, past, events)
    except _LaterEventFailed as failed:
        newest = past.later[-1].order
        in_order = [event for event in events if event.order > newest]
        folded = _walk(action, key, past.without_later(), in_order)
        late = (event.key for event in events if event.order < newest)
        folded.faults |= dict.fromkeys(late, failed.cause)
        return folded


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


def _walk(action: Fold, key: str, past: Past, events: Sequence[Event]) -> Folded:
    folded = Folded(key)
    fields, prev = base = past.base
    state = None if fields is None else action.state.model_validate(fields)
    old = {row.event: row for row in past.later}
    pending = sorted([*events, *past.known.values()], key=_order) if old else events
    unapplied = {event.key for event in events}
    steps: list[_Step] = []
    settled: Row | None = None
    for event in pending:
        stored = old.get(event.key)
        if stored is not None and not unapplied and _settled(stored, steps):
            settled = stored
            break
        unapplied.discard(event.key)
        try:
            state_after, after = _apply(action, state, event)
            changed = _changed(fields, after)
            if stored is None:
                folded.wrote[event.key] = _written(after, changed)
        except Exception as error:
            if stored is not None:
                raise _LaterEventFailed(error) from error
            folded.faults[event.key] = error
            continue
        steps.append(_Step(event, prev, after, changed))
        state, fields, prev = state_after, after, event.order
    rows = _linked(key, steps, settled)
    _sort_out(folded, rows, base[1], old)
    if rows:
        last = past.later[-1] if settled else rows[-1]
        folded.state, folded.order, folded.event_at = last.state, last.order, last.valid_from
    return folded


_order: Final = attrgetter("order")


def _settled(stored: Row, steps: list[_Step]) -> bool:
    """Whether the row follows on what was folded just as it did before."""
    return bool(steps) and stored.prev == steps[-1].event.order and stored.before == steps[-1].state


def _linked(key: str, steps: Sequence[_Step], settled: Row | None) -> list[Row]:
    """Rows, each valid until the next one's event."""
    rows: list[Row] = []
    end = settled.valid_from if settled else None
    for event, prev, state, changed in reversed(steps):
        rows.append(Row(key, event.order, event.key, prev, event.occurred_at, end, state, changed))
        end = event.occurred_at
    rows.reverse()
    return rows


def _sort_out(
    folded: Folded, rows: Sequence[Row], base_order: str | None, old: Mapping[str, Row]
) -> None:
    """Which rows are new, rewritten or affected, and which one before them ends now."""
    for row in rows:
        stored = old.get(row.event)
        if stored is None:
            folded.new.append(row)
        elif stored != row:
            folded.rewritten.append(row)
            if (stored.before, stored.state) != (row.before, row.state):
                folded.affected.append(row)
    if rows and base_order is not None and rows[0].event not in old:
        folded.closed[row_id(folded.key, base_order)] = rows[0].valid_from


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
