"""Folding events into one document, in their order, whatever order they arrived in.

Pure: states and rows in, states and rows out. The live run, the refold after a late event, and
an undo all call `fold`.

A late event is folded from the state before it, and so are the rows after it, until one
follows what it followed before: from there on nothing can differ up to the next late event.
The handler is not run on those in between, and after the last no more rows are asked for. An
event that is taken out is passed over in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from itertools import chain
from typing import Any, Final, NamedTuple

from pipeline.declarations import Fold
from pipeline.errors import HandlerFault, LaterEventFails, RefoldTooLarge, StateMisfit
from pipeline.event import Event, moment_of
from pipeline.state import State
from pipeline.stretches import Step, Stretch, is_another, moves_otherwise
from pipeline.temporal import Row
from pipeline.updates import Update, assign
from pipeline.updates.ordering import same, same_fields

MOST_ROWS: Final = 5_000
"""Stored rows that are rewritten or removed in one transaction at the most; more is refused."""
MESSAGE_CHARACTERS: Final = 1000


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
        a late event makes a later one fail, or changes too many rows, the late one is the
        fault; where a later one fails since another is taken out, it falls, and leaves no
        trace either.

    Raises:
        RefoldTooLarge: taking the events out changes or removes more than 5,000 rows, or several
            late events together change more; those have to be given one by one.
        LaterEventFails: one of several late events makes a later one fail; as above.
        StateMisfit: a stored state can't be read that is needed to take the events out.
    """
    try:
        return _walk(action, key, past, events, without)
    except (LaterEventFails, RefoldTooLarge) as failed:
        if past.standing is None or without:
            raise
        newest = past.standing.order
        late = [event for event in events if event.order < newest]
        if len(late) > 1:
            # Which of them is at fault shows when it is alone.
            raise
        in_order = [event for event in events if event.order > newest]
        folded = _walk(action, key, past.without_later(), in_order, ())
        folded.faults |= {event.key: failed for event in late}
        return folded


def ensure_bounded(folded: Sequence[Folded]) -> None:
    """Refuse to rewrite more in one transaction than it holds, where it can be divided.

    Raises:
        RefoldTooLarge: several documents change more than 5,000 rows together.
    """
    rewritten = sum(len(one.rewritten) for one in folded)
    if len(folded) > 1 and rewritten > MOST_ROWS:
        raise RefoldTooLarge(f"{len(folded):,} documents change {rewritten:,} rows")


def _walk(
    action: Fold, key: str, past: Past, events: Sequence[Event], without: Collection[str]
) -> Folded:
    folded = Folded(key)
    later = iter(past.later)
    first = next(later, None)
    fields, prev = _base(past.standing, first)
    state: State | None = None
    unapplied = {event.key for event in events}.union(without)
    stretches = [Stretch(prev, first.row.valid_from if first else None)]
    again = 0
    for event, stored in _in_order(events, first, later):
        if stored is not None:
            if event.key not in without and _stands(action, stored, prev, fields):
                # It stays as it is, and so does what follows up to the next event to apply.
                stretches[-1].settled = stored
                if not unapplied:
                    break
                _begin_after(stored, stretches)
                state, fields, prev = None, stored.state, stored.order
                continue
            again += 1
            if again > MOST_ROWS:
                raise RefoldTooLarge(_too_large(action, key))
        unapplied.discard(event.key)
        if stored is not None and event.key in without:
            folded.removed.append(stored)
            continue
        try:
            if state is None and fields is not None:
                state, fields = _read(action, fields)
            state_after, after = _apply(action, state, event)
            changed = _changed(fields, after)
            if stored is None:
                folded.wrote[event.key] = _written(after, changed)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
            _refuse(folded, event, stored, error, without)
            continue
        stretches[-1].steps.append(Step(event, prev, after, changed, stored))
        state, fields, prev = state_after, after, event.order
    _sort_out(folded, stretches)
    _stand(folded, past.standing, stretches[-1], (fields, prev))
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


def _stands(action: Fold, stored: Row, prev: str | None, fields: dict[str, Any] | None) -> bool:
    """Whether a stored row follows what it followed before, so that it can't come out otherwise."""
    if stored.prev != prev:
        return False
    before = stored.before
    if before is not None and fields is not None and before.keys() != fields.keys():
        # One of them is from before the model had all of its fields, or after it lost one.
        before, fields = _in_shape(action, before), _in_shape(action, fields)
    return same_fields(before, fields)


def _in_shape(action: Fold, fields: dict[str, Any]) -> dict[str, Any]:
    """Stored fields as the model has them now, where it can read them."""
    try:
        return _read(action, fields)[1]
    except StateMisfit:
        return fields


def _begin_after(stored: Row, stretches: list[Stretch]) -> None:
    """Begin a stretch after this row, which stays, in place of one in which nothing happened."""
    if not stretches[-1].steps:
        stretches.pop()
    stretches.append(Stretch(stored.order, stored.valid_to))


def _read(action: Fold, fields: dict[str, Any]) -> tuple[State, dict[str, Any]]:
    """The state of stored fields, and the fields as its model has them now.

    A field that the model has got since is among them, with its default: else the state before
    an event that sets it would be told with the value after it.
    """
    state = action.state.of_stored(fields)
    if fields.keys() == action.state.__pydantic_fields__.keys():
        return state, fields
    return state, state.stored()


def _refuse(
    folded: Folded, event: Event, stored: Row | None, error: Exception, without: Collection[str]
) -> None:
    """Note why an event is not applied, or not any more.

    Raises:
        LaterEventFails: it was applied, and nothing is taken out: what came late is at fault.
            A word such as `Cancel` is meant for the event it was raised for, and for no other.
        StateMisfit: a stored state can't be read, for which the event can do nothing.
    """
    if stored is None:
        folded.faults[event.key] = error
    elif isinstance(error, StateMisfit):
        raise error
    elif without:
        folded.fallen[event.key] = error
        folded.removed.append(stored)
    else:
        why = f"{type(error).__name__}: {error}"[:MESSAGE_CHARACTERS]
        raise LaterEventFails(f"{event.key} can't be applied after it: {why}") from error


def _too_large(action: Fold, key: str) -> str:
    return (
        f"it changes more than {MOST_ROWS:,} later rows of {action.table}[{key}], which is more "
        f"than one transaction holds; a new event can say how it is now"
    )


def _sort_out(folded: Folded, stretches: Sequence[Stretch]) -> None:
    """Which rows are new, rewritten or affected, and which end elsewhere."""
    for stretch in stretches:
        for row, step in zip(stretch.rows(folded.key), stretch.steps, strict=True):
            stored = step.stored
            if stored is None:
                folded.new.append(row)
            elif is_another(row, stored):
                folded.rewritten.append(row)
                if moves_otherwise(row, stored):
                    folded.affected.append(row)
                    folded.stood[row.event] = stored
        folded.closed |= stretch.closed(folded.key)
    if folded.removed:
        folded.stood |= {row.event: row for row in folded.removed}


def _stand(folded: Folded, standing: Standing | None, last: Stretch, end: _Base) -> None:
    """How the document stands: as before where its last rows are, or as the walk ended."""
    if last.settled is not None:
        if standing is not None:
            folded.state, folded.order = standing.state, standing.order
            folded.event_at = standing.event_at
    elif last.steps:
        (folded.state, folded.order), folded.event_at = end, last.steps[-1].event.occurred_at
    elif folded.changes and end[1] is not None:
        (folded.state, folded.order), folded.event_at = end, moment_of(end[1])


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
    return {
        name: value
        for name, value in before.items()
        if (new := after[name]) is not value and (new != value or not same(new, value))
    }


def _written(after: dict[str, Any], changed: dict[str, Any] | None) -> Update:
    """The fields that an event set; raises UpdateError for what MongoDB can't hold."""
    return assign(after if changed is None else {name: after[name] for name in changed})
