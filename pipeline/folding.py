"""Folding events into one document, in their order, whatever order they arrived in.

Pure: states and rows in, states and rows out. The live run, the refold after a late event,
the replay in memory and the verification all call `fold`.

A late event is folded from the state before it, and so are the rows after it, until a row
comes out as it was: from there on nothing can differ any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pipeline.declarations import Action
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


@dataclass(slots=True)
class Folded:
    """What folding some events into one document comes to.

    Attributes:
        key: the document's id.
        state: its fields afterwards; None where nothing could be applied.
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


def fold(
    action: Action,
    key: str,
    standing: Standing | None,
    later: Sequence[Row],
    events: Sequence[Event],
    known: Mapping[str, Event],
) -> Folded:
    """Fold events into one document.

    Args:
        action: a fold.
        key: the document's id.
        standing: the document as it stands, or None where there is none.
        later: the document's rows later than the first of the events, in order.
        events: new events of this document, in order.
        known: the events of the `later` rows, by key.

    Returns:
        What to write. An event that the handler refuses is a fault and leaves no trace; where
        a late event makes a later one fail, the late ones are the faults.
    """
    base, base_order = _base(standing, later)
    try:
        return _walk(action, key, standing, (base, base_order), later, events, known)
    except _LaterEventFailed as failed:
        in_order = [e for e in events if not later or e.order > later[-1].order]
        folded = fold(action, key, standing, [], in_order, known)
        folded.faults |= {e.key: failed.cause for e in events if e not in in_order}
        return folded


class _LaterEventFailed(Exception):
    """An event that was applied before can't be, now that another came before it."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


def _base(standing: Standing | None, later: Sequence[Row]) -> tuple[dict[str, Any] | None, str | None]:
    """State and order just before the first event to fold."""
    if later:
        return later[0].before, later[0].prev
    if standing:
        return standing.state, standing.order
    return None, None


def _walk(
    action: Action,
    key: str,
    standing: Standing | None,
    base: tuple[dict[str, Any] | None, str | None],
    later: Sequence[Row],
    events: Sequence[Event],
    known: Mapping[str, Event],
) -> Folded:
    folded = Folded(key)
    fields, prev = base
    state = _revive(action, fields)
    old = {row.event: row for row in later}
    pending = sorted([*events, *(known[row.event] for row in later)], key=lambda e: e.order)
    unapplied = {event.key for event in events}
    rows: list[Row] = []
    settled: Row | None = None
    for event in pending:
        stored = old.get(event.key)
        if stored is not None and not unapplied and _settled(stored, rows):
            settled = stored
            break
        unapplied.discard(event.key)
        try:
            after, row = _step(action, key, event, state, fields, prev)
            wrote = _written(row)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
            if stored is not None:
                raise _LaterEventFailed(error) from error
            folded.faults[event.key] = error
            continue
        rows.append(row)
        if stored is None:
            folded.wrote[event.key] = wrote
        state, fields, prev = after, row.state, event.order
    _finish(folded, rows, base, standing, settled, old, later)
    return folded


def _settled(stored: Row, rows: list[Row]) -> bool:
    """Whether the row follows on what was folded just as it did before."""
    return bool(rows) and stored.prev == rows[-1].order and stored.before == rows[-1].state


def _finish(
    folded: Folded,
    rows: list[Row],
    base: tuple[dict[str, Any] | None, str | None],
    standing: Standing | None,
    settled: Row | None,
    old: Mapping[str, Row],
    later: Sequence[Row],
) -> None:
    """Link the rows, and sort them into new, rewritten and affected."""
    ends = [row.valid_from for row in rows[1:]] + [settled.valid_from if settled else None]
    rows = [replace(row, valid_to=end) for row, end in zip(rows, ends, strict=True)]
    for row in rows:
        stored = old.get(row.event)
        if stored is None:
            folded.new.append(row)
        elif stored != row:
            folded.rewritten.append(row)
            if (stored.before, stored.state) != (row.before, row.state):
                folded.affected.append(row)
    _, base_order = base
    if rows and base_order is not None and rows[0].event not in old:
        folded.closed[row_id(folded.key, base_order)] = rows[0].valid_from
    last = later[-1] if settled else (rows[-1] if rows else None)
    if last is not None:
        folded.state, folded.order, folded.event_at = last.state, last.order, last.valid_from
    elif standing is not None:
        folded.state, folded.order = standing.state, standing.order


def _revive(action: Action, fields: dict[str, Any] | None) -> State | None:
    if fields is None or action.state is None:
        return None
    return action.state.model_validate(fields)


def _step(
    action: Action,
    key: str,
    event: Event,
    state: State | None,
    fields: dict[str, Any] | None,
    prev: str | None,
) -> tuple[State, Row]:
    """One event more: the state after it, and its row, not yet linked to the next."""
    after = action.function(state, event)
    if not isinstance(after, State):
        raise HandlerFault(f"{action.name} returned {after!r}; a fold returns its state")
    now = after.stored()
    changed = None
    if fields is not None:
        changed = {name: old for name, old in fields.items() if now[name] != old}
    return after, Row(key, event.order, event.key, prev, event.occurred_at, None, now, changed)


def _written(row: Row) -> Update:
    """The fields that the row's event set; raises UpdateError for what MongoDB can't hold."""
    names = row.state if row.changed is None else row.changed
    return assign({name: row.state[name] for name in names})
