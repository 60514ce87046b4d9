"""One entity, and all that is derived from it, on request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pipeline.declarations import Commutative, Observer
from pipeline.errors import NotFound
from pipeline.registry import Registry
from pipeline.store import Records, Store
from pipeline.store.ledger import WITH_EFFECT
from pipeline.tables import Document
from pipeline.verification.checking import Checked, check
from pipeline.verification.findings import Finding
from pipeline.verification.stored import of_entities, read
from pipeline.verification.sums import Sum, Sums


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

    @property
    def findings(self) -> list[Finding]:
        """In what they differ."""
        return list(self.total.findings(self.table, self.key, self.document))


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
    found = records.events.of_entity(tenant, entity_id)
    if not found:
        raise NotFound(f"no event of an entity {entity_id!r} of {tenant!r} is stored")
    actions = of_entities(registry)
    checked = check(registry, read(records, registry, found, actions), actions)
    return checked, _derived(records, registry, checked)


def _derived(records: Records, registry: Registry, checked: Checked) -> list[Derived]:
    """The derived documents that an entity counts in, added up from all of the ledger."""
    touched = {table: set(sums) for table, sums in checked.sums.tables.items()}
    keys = set().union(*touched.values())
    if not keys:
        return []
    tables = {h.name: h.table for h in registry if isinstance(h, Observer | Commutative)}
    totals = Sums()
    for row in records.ledger.written_to(keys):
        table, key = tables.get(row.handler, ""), row.key
        if key is not None and key in touched.get(table, ()) and row.state in WITH_EFFECT:
            totals.add(table, key, row.wrote, checked.identities.get(row.id), row.write_at)
    found = []
    for table, sums in totals.tables.items():
        documents = records.table(table).get(list(sums))
        found += [Derived(table, key, total, documents.get(key)) for key, total in sums.items()]
    return found
