"""A pipeline that verifies itself, for tests."""

import random
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient

from benchmarks import planting
from pipeline.declarations import Lane
from pipeline.event import Event
from pipeline.slots import Part
from pipeline.store import Batch
from pipeline.store.verifications import ASKED_FOR, Unit
from pipeline.verification import (
    HANDLER,
    EntityReport,
    Finding,
    Verifier,
    finding_of,
    verify_entity,
)
from pipeline.verification.pacing import NoTraffic
from tests.facts import Document, fact
from tests.integration.harness import Harness
from tests.integration.sample_handlers import broken

STATUSES = ("open", "waiting", "done")


def verify(
    harness: Harness, verifier: Verifier, part: Part | None = None, *, repairs: bool = False
) -> list[Finding]:
    """Verify everything, or a part; what was found. What had been lost waits in the harness."""
    name, waiting = verifier.begin(part, repairs=repairs)
    while waiting:
        for batch in verifier.run(waiting.pop(0)).following:
            (waiting if batch.lane == Lane.REPAIR else harness.waiting).append(batch)
        if not waiting:  # as the sweeper finds what nobody was told of
            units = harness.store.records.verifications.units(name)
            left = [unit.id for unit in units if not unit.done]
            waiting = [Batch.of(HANDLER, [unit], Lane.REPAIR) for unit in left]
    return found(harness, name)


def found(harness: Harness, name: str) -> list[Finding]:
    """What a verification has found."""
    kept = harness.store.records.verifications
    return [finding_of(doc) for doc in kept.findings(name, limit=10_000)]


class Meanwhile(NoTraffic):
    """Lets something happen before each step.

    Args:
        happen: does it.
    """

    def __init__(self, happen: Callable[[], None]) -> None:
        self._happen = happen

    def live(self) -> bool:
        """No; but now it happens."""
        self._happen()
        return False


class Verifying(Harness):
    """The harness, with a verifier that one worker runs."""

    def __init__(self, client: MongoClient[Document], name: str, **options: Any) -> None:
        super().__init__(client, name, **options)
        self.verifier = Verifier(
            self.store, self.registry, self.clock, self.settings, worker="verifier"
        )

    def verify(self, part: Part | None = None, *, repairs: bool = False) -> list[Finding]:
        """Verify everything, or a part; what was found."""
        return verify(self, self.verifier, part, repairs=repairs)

    def look_at(self, tenant: str, entity_id: str) -> EntityReport:
        """Verify one entity."""
        return verify_entity(self.store, self.registry, tenant, entity_id, self.clock.now())

    def asked_for(self) -> list[Unit]:
        """The units of the last verification."""
        kept = self.store.records.verifications
        return kept.units(kept.newest(1, ASKED_FOR)[0].id)


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


def told(pipeline: Verifying) -> Verifying:
    """The pipeline after a story, with late events, retries and events that were given up."""
    events = story(1, 200)
    broken.update({("owners.count", "e7"), ("tenants.count", "e9"), ("pages.count", "e3")})
    for start in range(0, len(events), 40):
        batch = events[start : start + 40]
        random.Random(start).shuffle(batch)
        pipeline.process(*batch)
    broken.discard(("tenants.count", "e9"))
    while pipeline.retry():
        pass
    return pipeline


def plant(pipeline: Harness, seed: int, count: int) -> set[tuple[str, str]]:
    """Corrupt so many documents of any tables; which."""
    return planting.plant(pipeline.store, pipeline.registry, seed, count)
