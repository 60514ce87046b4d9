"""Finding things by whatever id a person has at hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.registry import Registry
from pipeline.store import Batch, RunRecord, Store

SHOWN: Final = 20
"""Most things of a kind."""
SHORTEST_PREFIX: Final = 6
LONGEST: Final = 300
TENANTS: Final = 200
"""Most tenants that an entity is looked for in."""
_JOB: Final = re.compile(r"[0-9a-f]{8}-\d{1,3}-[0-9a-f]{20}")
_DOCUMENT: Final = re.compile(r"([A-Za-z0-9_.-]+)\[(.+)\]")


@dataclass(slots=True)
class Found:
    """What an id may mean.

    Attributes:
        events: event keys.
        entities: tenant and id of entities.
        documents: table and id of documents.
        job: the batch of this job id while it is to be done.
        run: who ran this job last, if it was run.
        tenants: how many tenants an entity was looked for in; None where the tenant was named.
    """

    events: list[str] = field(default_factory=list)
    entities: list[tuple[str, str]] = field(default_factory=list)
    documents: list[tuple[str, str]] = field(default_factory=list)
    job: Batch | None = None
    run: RunRecord | None = None
    tenants: int | None = None

    @property
    def anything(self) -> bool:
        """Whether it means anything."""
        return bool(self.events or self.entities or self.documents or self.job or self.run)


def lookup(store: Store, registry: Registry, text: str, tenants: Sequence[str]) -> Found:
    """What this text may be the id of: event, entity, document or job.

    An event is known by its id, its key, or the first six characters or more of either; an
    entity by its id, or `tenant:id`; a document as `table[id]`; a job by its id. At most 20
    events and entities each are found.

    Args:
        store: where they are.
        registry: which tables there are.
        text: what a person typed, up to 300 characters.
        tenants: those an entity is looked for in, where a person does not say which.
    """
    text, found = text.strip()[:LONGEST], Found()
    if not text:
        return found
    events, batches = store.records.events, store.records.batches
    found.events = events.keys_of(text, limit=SHOWN)
    document = _DOCUMENT.fullmatch(text)
    if document and document[1] in registry.tables():
        table, key = document.groups()
        if store.records.table(table).get([key]):
            found.documents.append((table, key))
    if _JOB.fullmatch(text):
        found.job = batches.pending([text]).get(text)
        found.run = batches.runs([text]).get(text)
    tenant, colon, entity = text.partition(":")
    pairs = [(tenant, entity)] if colon and entity else []
    if not pairs:
        found.tenants, pairs = len(tenants), [(one, text) for one in tenants]
    found.entities = events.entities_among(pairs)[:SHOWN]
    if not (found.events or found.entities) and len(text) >= SHORTEST_PREFIX:
        found.events = events.beginning_with(text, limit=SHOWN)
    return found
