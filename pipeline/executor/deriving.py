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
from pipeline.updates import Joined, Update, set_on_insert


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
        self._changes: dict[tuple[str, str], Change[State]] = {}

    def change(self, root: Fold, event: str) -> Change[State]:
        """What the fold made of an event of `under`; one value for all who observe it.

        Raises:
            NotFound: the fold has left no row for it.
            StateMisfit: the fold's model does not fit what is stored.
        """
        change = self._changes.get((root.name, event))
        if change is None:
            transition = self.known[root.name].get(event)
            change = self._changes[root.name, event] = change_of(root, event, transition)
        return change

    def under(self, root: Fold) -> Mapping[str, Transition]:
        """By event key, what the fold made of the events; read where it is not known."""
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
    transitions.under(observer.root)
    merger = _Merger(observer.table)
    for key, record in records.items():
        try:
            change = transitions.change(observer.root, key)
            merger.add(record.event, contribution(observer, change, record.event))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
            merger.faults[key] = error
    return merger.plan()


def contribution(observer: Observer, change: Change[State], event: Event) -> Contribution:
    """What the observer adds for one event, given what the event changed.

    Raises:
        Exception: whatever the handler raises, or that its result can't be used.
    """
    return _checked(observer, observer.function(change, event), event, change.after)


def change_of(root: Fold, event: str, transition: Transition | None) -> Change[State]:
    """The change that a handler sees.

    Raises:
        NotFound: there is none.
        StateMisfit: the fold's model does not fit what is stored.
    """
    if transition is None:
        raise NotFound(f"{root.name} has left no row for {event}")
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
        self._joined: dict[str, Joined] = {}
        self._counts: dict[str, int] = {}
        self._latest: dict[str, datetime] = {}

    def add(self, event: Event, added: Contribution) -> None:
        key, update = added.key, added.wrote
        if key is None:
            self._results[event.key] = Result(LedgerState.SKIPPED)
            return
        joined = self._joined.get(key)
        if joined is None:
            self._joined[key] = Joined(update | set_on_insert(added.identity()))
            self._counts[key], self._latest[key] = 1, event.occurred_at
        else:
            joined.add(update)
            self._counts[key] += 1
            self._latest[key] = max(self._latest[key], event.occurred_at)
        self._results[event.key] = Result(LedgerState.DONE, key, update)

    def plan(self) -> Plan:
        return Plan(self._results, self.faults, self._write)

    def _write(self, tx: Records, run: Run, contested: Contested) -> None:
        contested.setdefault(self._table, set()).update(self._joined)
        tx.table(self._table).apply(
            {
                key: joined.update() | run.stamped(self._latest[key], self._counts[key])
                for key, joined in self._joined.items()
            }
        )
