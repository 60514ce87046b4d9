"""One entity, and all that is derived from it, on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from pipeline.declarations import Commutative, Observer
from pipeline.errors import NotFound
from pipeline.registry import Registry
from pipeline.store import LedgerRow, Records, Store
from pipeline.tables import Document
from pipeline.verification.checking import Checked, check, undeclared
from pipeline.verification.findings import Finding, Unknown
from pipeline.verification.stored import of_entities, read
from pipeline.verification.sums import Sum, Sums
from pipeline.verification.units import written_by_others

ROWS: Final = 1000
"""Rows of the ledger whose events are looked up together."""


@dataclass(frozen=True, slots=True)
class EntityReport:
    """What a look at one entity came to.

    Attributes:
        tenant: whose it is.
        entity_id: what its events happened to.
        at: the moment as of which it was looked at.
        events: its events.
        waiting: how often one of them still waits for a handler.
        documents: documents and temporal rows that were looked at, derived ones among them.
        findings: what is wrong, or can't be told.
    """

    tenant: str
    entity_id: str
    at: datetime
    events: int
    waiting: int
    documents: int
    findings: list[Finding]


class Derived(NamedTuple):
    """A derived document, and what its contributions come to."""

    table: str
    key: str
    total: Sum
    document: Document | None
    doubt: str | None = None

    @property
    def findings(self) -> list[Finding]:
        """In what they differ."""
        found = list(self.total.findings(self.table, self.key, self.document))
        return [Unknown(self.table, self.key, self.doubt)] if found and self.doubt else found


def verify_entity(
    store: Store, registry: Registry, tenant: str, entity_id: str, at: datetime
) -> EntityReport:
    """Recalculate one entity from its events, and all derived documents that it counts in.

    For the derived documents all of the ledger is read, once.

    Args:
        store: where everything is kept.
        registry: the handlers.
        tenant: whose the entity is.
        entity_id: what its events happened to.
        at: the present moment.

    Raises:
        NotFound: it has no events.
        pymongo.errors.PyMongoError: MongoDB did not answer.
    """
    checked, derived = store.rehearse(lambda records: look_at(records, registry, tenant, entity_id))
    return EntityReport(
        tenant=tenant,
        entity_id=entity_id,
        at=at,
        events=checked.events,
        waiting=checked.waiting,
        documents=sum(checked.present.values()) + len(derived),
        findings=[*checked.findings, *(finding for one in derived for finding in one.findings)],
    )


def look_at(
    records: Records, registry: Registry, tenant: str, entity_id: str
) -> tuple[Checked, list[Derived]]:
    """Check an entity, and the derived documents that it counts in.

    Raises:
        NotFound: it has no events.
    """
    found = records.events.with_payloads(records.events.of_entity(tenant, entity_id))
    if not found:
        raise NotFound(f"no event of an entity {entity_id!r} of {tenant!r} is stored")
    actions = of_entities(registry)
    stored = read(records, registry, found, actions)
    checked = check(registry, stored, actions)
    checked.findings += undeclared(registry, stored)
    return checked, _derived(records, registry, checked)


def _derived(records: Records, registry: Registry, checked: Checked) -> list[Derived]:
    """The derived documents that an entity counts in, added up from all of the ledger."""
    touched = {table: set(sums) for table, sums in checked.sums.tables.items()}
    keys = set().union(*touched.values())
    if not keys:
        return []
    tables = {h.name: h.table for h in registry if isinstance(h, Observer | Commutative)}
    totals = Sums()

    def added_up() -> Iterator[LedgerRow]:
        # Every event there is may have added to a total, so no row is kept.
        for row in records.ledger.written_to(keys):
            table, key = tables.get(row.handler, ""), row.key
            if key is not None and key in touched.get(table, ()) and row.has_effect:
                totals.add(table, key, row.wrote, checked.identities.get(row.id), None)
            yield row

    doubts = written_by_others(registry, added_up())
    found = []
    for table, sums in totals.tables.items():
        documents = records.table(table).get(list(sums))
        _date(records, tables, table, {key: sums[key] for key in sums if key not in documents})
        found += [
            Derived(table, key, total, documents.get(key), doubts.get(key))
            for key, total in sums.items()
        ]
    return found


def _date(
    records: Records, tables: Mapping[str, str], table: str, missing: Mapping[str, Sum]
) -> None:
    """Note when the last event was that counts in each of these: they may be made again."""
    if not missing:
        return
    rows = records.ledger.written_to(missing)
    counted = (r for r in rows if r.has_effect and tables.get(r.handler) == table)
    while some := list(islice(counted, ROWS)):
        for key in {row.key for row in some if row.key is not None}:
            last = records.events.last_of([row.event for row in some if row.key == key])
            total = missing[key]
            if last is not None:
                total.latest = max(total.latest or last, last)
