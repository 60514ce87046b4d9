"""Commutative actions and derived observers: updates that need no order among themselves.

Updates to the same document within a batch are merged to one write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from pipeline.declarations import Commutative, Fold, Observer
from pipeline.errors import HandlerFault, NotFound
from pipeline.event import Event
from pipeline.executor.plan import Contested, Plan, Result, Run
from pipeline.state import Change, State
from pipeline.store import EventRecord, LedgerState, Records
from pipeline.temporal import Transition, row_id
from pipeline.updates import Update, set_on_insert


class Contribution(NamedTuple):
    """What one event adds to one document.

    Attributes:
        key: the document's id; None where there is nothing to do.
        wrote: what it gets.
        identity: the fields it is created with, those that its key is made of.
    """

    key: str | None
    wrote: Update
    identity: Callable[[], dict[str, Any]] = dict


NOTHING: Final = Contribution(None, Update.nothing())


def plan_action(action: Commutative, records: Mapping[str, EventRecord]) -> Plan:
    """Run a commutative action on a batch."""
    merger = _Merger(action.table)
    for record in records.values():
        event = record.event
        try:
            merger.add(event, addition(action, event))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
            merger.faults[event.key] = error
    return merger.plan()


def addition(action: Commutative, event: Event) -> Contribution:
    """What a commutative action adds for one event.

    Raises:
        Exception: whatever the handler raises, or that its result can't be used.
    """
    return _checked(action, action.function(event), event, None)


class Transitions:
    """What the events of a batch changed, read once for all its observers.

    Attributes:
        known: by name of the fold and event key, what has been read or is remembered.
    """

    def __init__(
        self,
        tx: Records,
        records: Mapping[str, EventRecord],
        remembered: Mapping[str, Mapping[str, Transition]],
    ) -> None:
        self._tx = tx
        self._records = records
        self.known = {root: dict(changes) for root, changes in remembered.items()}

    def under(self, root: Fold) -> Mapping[str, Transition]:
        """By event key, what the fold made of the event."""
        known = self.known.setdefault(root.name, {})
        ids = {
            row_id(root.key(record.event), record.event.order): event
            for event, record in self._records.items()
            if event not in known
        }
        if ids:
            found = self._tx.history(root.history).transitions(ids)
            known |= {ids[row]: transition for row, transition in found.items()}
        return known


def plan_observer(
    transitions: Transitions, observer: Observer, records: Mapping[str, EventRecord]
) -> Plan:
    """Run a derived observer on a batch: see what its events changed, and add it up."""
    changed = transitions.under(observer.root)
    merger = _Merger(observer.table)
    for key, record in records.items():
        try:
            merger.add(record.event, contribution(observer, changed.get(key), record.event))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
            merger.faults[key] = error
    return merger.plan()


def contribution(observer: Observer, transition: Transition | None, event: Event) -> Contribution:
    """What the observer adds for one event, given what the event changed.

    Raises:
        Exception: whatever the handler raises, or that its result can't be used.
    """
    if transition is None:
        raise NotFound(f"{observer.root.name} has left no row for {event.key}")
    change = change_of(observer.root, transition)
    return _checked(observer, observer.function(change, event), event, change.after)


def change_of(root: Fold, transition: Transition) -> Change[State]:
    """The change that a handler sees."""
    before, after = transition
    revive = root.state.of_stored
    return Change(before=None if before is None else revive(before), after=revive(after))


def _checked(
    handler: Commutative | Observer, update: Any, event: Event, after: State | None
) -> Contribution:
    if update is None:
        return NOTHING
    if not isinstance(update, Update):
        raise HandlerFault(f"{handler.name} returned {update!r}; expected an Update or None")
    if update.uses("set"):
        raise HandlerFault(
            f"{handler.name} assigns a field; which event is last depends on arrival, "
            f"so only maximum, minimum, inc, add_to_set and set_on_insert are allowed"
        )
    if not update:
        return NOTHING
    key = handler.key
    return Contribution(key(event, after), update, partial(key.fields, event, after))


class _Merger:
    """Adds contributions up, one update a document."""

    def __init__(self, table: str) -> None:
        self.faults: dict[str, Exception] = {}
        self._table = table
        self._results: dict[str, Result] = {}
        self._updates: dict[str, Update] = {}
        self._counts: dict[str, int] = {}
        self._latest: dict[str, datetime] = {}

    def add(self, event: Event, added: Contribution) -> None:
        key, update = added.key, added.wrote
        if key is None:
            self._results[event.key] = Result(LedgerState.SKIPPED)
            return
        merged = self._updates.get(key)
        if merged is None:
            self._updates[key] = update | set_on_insert(added.identity())
        else:
            self._updates[key] = merged | update
        self._counts[key] = self._counts.get(key, 0) + 1
        self._latest[key] = max(self._latest.get(key, event.occurred_at), event.occurred_at)
        self._results[event.key] = Result(LedgerState.DONE, key, update)

    def plan(self) -> Plan:
        return Plan(self._results, self.faults, self._write)

    def _write(self, tx: Records, run: Run, contested: Contested) -> None:
        contested.setdefault(self._table, set()).update(self._updates)
        tx.table(self._table).apply(
            {
                key: update | run.stamped(self._latest[key], self._counts[key])
                for key, update in self._updates.items()
            }
        )
