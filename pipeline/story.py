"""The story of one entity: its events in their own order, beside the order in which they came."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pipeline.declarations import Fold
from pipeline.errors import NotFound
from pipeline.registry import Registry
from pipeline.store import EventRecord, LedgerRow, Store
from pipeline.temporal import row_id

MOST_EVENTS: Final = 10_000
"""Events of one entity that are put into order."""
SHOWN: Final = 100
"""Events of one page."""


@dataclass(slots=True)
class Happening:
    """One event of the story.

    Attributes:
        record: the event.
        arrival: which one it was in the order of receipt, from 1.
        overtaken: whether an event that happened later had come before it.
        rows: what each handler did for it.
        moves: by document, the fields that it changed, with their values before and after.
    """

    record: EventRecord
    arrival: int
    overtaken: bool
    rows: list[LedgerRow] = field(default_factory=list)
    moves: dict[tuple[str, str], dict[str, tuple[Any, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Story:
    """Some of the events of an entity.

    Attributes:
        tenant: whose it is.
        entity_id: its id.
        events: how many events it has, of those that were looked at.
        cut: whether it has more than were looked at.
        happenings: in the order of the events, the newest first.
        after: the order from which the next page goes on, if there is one.
        documents: table and id of what its events on this page were folded into.
    """

    tenant: str
    entity_id: str
    events: int
    cut: bool
    happenings: list[Happening]
    after: str | None
    documents: list[tuple[str, str]]


def story(
    store: Store, registry: Registry, tenant: str, entity_id: str, *, before: str | None = None
) -> Story:
    """The events of an entity, the newest first, a hundred at a time.

    Args:
        store: where they are.
        registry: which handlers there are.
        tenant: whose entity.
        entity_id: its id.
        before: only events whose order is below this one, as the page before told.

    Raises:
        NotFound: nothing has happened to such an entity.
    """
    records = store.records.events.first_of_entity(tenant, entity_id, limit=MOST_EVENTS)
    if not records:
        raise NotFound(f"nothing has happened to {entity_id!r} of {tenant}")
    everything = _ordered(list(records.values()))
    wanted = [one for one in everything if before is None or one.record.event.order < before]
    page = wanted[-SHOWN:][::-1]
    _fill(store, registry, page)
    documents = {document: None for one in page for document in one.moves}
    return Story(
        tenant,
        entity_id,
        events=len(everything),
        cut=len(records) == MOST_EVENTS,
        happenings=page,
        after=page[-1].record.event.order if len(wanted) > SHOWN else None,
        documents=list(documents),
    )


def _ordered(records: list[EventRecord]) -> list[Happening]:
    """The events in their order, each with its place in the order of receipt."""
    came = sorted(records, key=lambda one: (one.received_at, one.event.order))
    arrivals = {one.event.key: number for number, one in enumerate(came, 1)}
    latest: datetime | None = None
    overtaken: set[str] = set()
    for one in came:
        if latest is not None and one.event.occurred_at < latest:
            overtaken.add(one.event.key)
        latest = max(latest or one.event.occurred_at, one.event.occurred_at)
    return [
        Happening(one, arrivals[one.event.key], one.event.key in overtaken)
        for one in sorted(records, key=lambda one: one.event.order)
    ]


def _fill(store: Store, registry: Registry, page: list[Happening]) -> None:
    """Read what was done for these events, in a look at the ledger and one at each history."""
    by_key = {one.record.event.key: one for one in page}
    for row in store.records.ledger.of_events(list(by_key)):
        by_key[row.event].rows.append(row)
    for fold in registry:
        if not isinstance(fold, Fold):
            continue
        wanted = {
            row_id(row.key, one.record.event.order): (one, row.key)
            for one in page
            for row in one.rows
            if row.handler == fold.name and row.key is not None
        }
        changes = store.records.history(fold.history).transitions(list(wanted)) if wanted else {}
        for name, change in changes.items():
            one, key = wanted[name]
            before = change.before or {}
            one.moves[fold.table, key] = {
                name: (before.get(name), value)
                for name, value in change.after.items()
                if change.before is None or before.get(name) != value
            }


def as_json(found: Story) -> dict[str, Any]:
    """The story for programs."""
    return {
        "tenant": found.tenant,
        "entity_id": found.entity_id,
        "events": found.events,
        "cut": found.cut,
        "before": found.after,
        "happenings": [
            {
                "event": one.record.event.key,
                "type": one.record.event.type,
                "occurred_at": one.record.event.occurred_at,
                "received_at": one.record.received_at,
                "arrival": one.arrival,
                "overtaken": one.overtaken,
                "voided": one.record.voided is not None,
                "states": {row.handler: row.state.value for row in one.rows},
                "moves": [
                    {"table": table, "key": key, "fields": fields}
                    for (table, key), fields in one.moves.items()
                ],
            }
            for one in found.happenings
        ],
    }
