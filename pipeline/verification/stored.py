"""What is stored of some entities, read together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pipeline.declarations import Action, Effect, Fold, Handler, Observer
from pipeline.event import Event
from pipeline.registry import SIBLINGS, Registry
from pipeline.store import EventRecord, LedgerRow, Records
from pipeline.store.ledger import row_id
from pipeline.tables import Document

Handled = tuple[str, str]
"""A handler's name and an event's key."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Events, and what the tables and the ledger say of them.

    Attributes:
        events: by key, in their order.
        ledger: rows by id, of all handlers that the events go to.
        waiting: what is still to be done, of that of which there is no row.
        documents: by table of a fold and key, of all documents that one of the events is for.
        rows: by temporal table and document key, as they are stored.
        keys: by fold and event, the document that the event is for.
        astray: by fold and document, an event that had its effect there and that the fold is no
            longer asked for, or of which no key can be made any more.
    """

    events: Mapping[str, Event]
    ledger: Mapping[str, LedgerRow]
    waiting: frozenset[Handled] = frozenset()
    documents: Mapping[str, Mapping[str, Document]] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Sequence[Document]]] = field(default_factory=dict)
    keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    astray: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def row(self, handler: Handler, event: str) -> LedgerRow | None:
        """What the ledger says of an event in a handler."""
        return self.ledger.get(row_id(event, handler.name))

    def is_led(self, handler: Handler, event: str) -> bool:
        """Whether all handlers before this one had their effect, so that its turn has come."""
        if isinstance(handler, Observer | Effect):
            return self.had_effect(handler.after, event) and self.is_led(handler.after, event)
        return True

    def had_effect(self, handler: Handler, event: str) -> bool:
        """Whether the ledger says that the handler was run on the event to its end."""
        row = self.row(handler, event)
        return row is not None and row.has_effect


def read(
    records: Records,
    registry: Registry,
    found: Mapping[str, EventRecord],
    actions: Collection[Action],
) -> Stored:
    """Read all that belongs to these events.

    Args:
        records: within a transaction or as of a moment, so that all of it fits together.
        registry: the handlers.
        found: all events that the documents of these actions are made of.
        actions: what is of interest.
    """
    folds = [action for action in actions if isinstance(action, Fold)]
    events = {r.event.key: r.event for r in sorted(found.values(), key=lambda r: r.event.order)}
    ledger = {row.id: row for row in records.ledger.of_events(list(events))}
    absent = {
        event.key
        for event in events.values()
        for handler in asked(registry, event, actions)
        if row_id(event.key, handler.name) not in ledger
    }
    keys: dict[str, dict[str, str]] = {fold.name: {} for fold in folds}
    for event in events.values():
        for action in registry.actions_for(event.type):
            if action.name in keys and isinstance(action, Fold):
                # An event without a key had none then, either, or its row tells that it had.
                with suppress(Exception):
                    keys[action.name][event.key] = action.key(event)
    astray = _astray(ledger.values(), keys)
    of = {fold.name: {*keys[fold.name].values(), *astray[fold.name]} for fold in folds}
    return Stored(
        events=events,
        ledger=ledger,
        waiting=_waiting(records, absent),
        documents={f.table: records.table(f.table).get(of[f.name]) for f in folds},
        rows={f.history: records.history(f.history).documents(of[f.name]) for f in folds},
        keys=keys,
        astray=astray,
    )


def _astray(
    rows: Iterable[LedgerRow], keys: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {fold: {} for fold in keys}
    for row in rows:
        of = keys.get(row.handler)
        if of is not None and row.key and row.has_effect and row.event not in of:
            found[row.handler].setdefault(row.key, row.event)
    return found


def _waiting(records: Records, events: Collection[str]) -> frozenset[Handled]:
    if not events:
        return frozenset()
    return frozenset(
        (handler, event)
        for names, event in records.batches.waiting_for(events)
        for handler in names.split(SIBLINGS)
    )


def of_entities(registry: Registry) -> list[Action]:
    """The actions of which an entity's events tell all; not folds of which others' are a part."""
    actions = [handler for handler in registry if isinstance(handler, Action)]
    return [a for a in actions if not isinstance(a, Fold) or a.key.of_one_entity]


def asked(registry: Registry, event: Event, actions: Collection[Action]) -> list[Handler]:
    """The handlers that an event goes to by way of these actions, parents before children."""
    found: list[Handler] = []
    for action in registry.actions_for(event.type):
        if action in actions:
            found += below(registry, [action])
    return found


def below(registry: Registry, actions: Iterable[Action]) -> list[Handler]:
    """These actions and all that follows them, parents before children."""
    return [
        handler
        for action in actions
        for handler in (action, *registry.observers_below(action), *registry.effects_of(action))
    ]
