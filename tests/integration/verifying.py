"""A pipeline that verifies itself, for tests."""

import random
from collections.abc import Iterator
from typing import Any

from pymongo import MongoClient

from pipeline.event import Event
from pipeline.slots import Part
from pipeline.store.verifications import ASKED_FOR, Unit
from pipeline.verification import EntityReport, Finding, Verifier, finding_of, verify_entity
from tests.facts import Document, fact
from tests.integration.harness import Harness

STATUSES = ("open", "waiting", "done")


class Verifying(Harness):
    """The harness, with a verifier that one worker runs."""

    def __init__(self, client: MongoClient[Document], name: str, **options: Any) -> None:
        super().__init__(client, name, **options)
        self.verifier = Verifier(
            self.store, self.registry, self.clock, self.settings, worker="verifier"
        )

    def verify(self, part: Part | None = None, *, repairs: bool = False) -> list[Finding]:
        """Verify everything, or a part; what was found."""
        name, waiting = self.verifier.begin(part, repairs=repairs)
        while waiting:
            waiting += self.verifier.run(waiting.pop(0))
        return self.found(name)

    def look_at(self, tenant: str, entity_id: str) -> EntityReport:
        """Verify one entity."""
        return verify_entity(self.store, self.registry, tenant, entity_id, self.clock.now())

    def found(self, name: str) -> list[Finding]:
        """What a verification has found."""
        kept = self.store.records.verifications
        return [finding_of(doc) for doc in kept.findings(name, limit=10_000)]

    def newest(self) -> tuple[str, list[Unit]]:
        """The last verification, and its units."""
        name = self.store.records.verifications.newest(1, ASKED_FOR)[0].id
        return name, self.store.records.verifications.units(name)


def story(seed: int, count: int) -> list[Event]:
    """Events of many tickets and pages of two tenants, some of which fail for good."""
    draw = random.Random(seed)
    events = []
    for n in range(count):
        tenant, ticket = draw.choice(["acme", "beta"]), f"T{draw.randrange(count // 4)}"
        if draw.random() < 0.1:
            page = {"page": draw.choice(["home", "about"])}
            events.append(
                fact(f"e{n}", n, tenant=tenant, entity_id=ticket, type="page.viewed", **page)
            )
            continue
        said: dict[str, Any] = {"add": draw.randrange(9)}
        if draw.random() < 0.5:
            said["status"] = draw.choice(STATUSES)
        if draw.random() < 0.4:
            said["owner"] = draw.choice(["ann", "bob", "cid"])
        if draw.random() < 0.05:
            said["needs"] = "never"
        events.append(fact(f"e{n}", n, tenant=tenant, entity_id=ticket, **said))
    return events


def documents(harness: Harness) -> Iterator[tuple[str, Document]]:
    """Every document of every table, with its table."""
    for table in harness.registry.tables():
        for document in harness.store.scan(table):
            yield table, document
