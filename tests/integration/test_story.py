"""The story of an entity: events in their order, beside that in which they came."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import story as stories
from pipeline.errors import NotFound
from pipeline.story import Story, as_json, story
from tests.facts import Document, fact
from tests.integration.harness import Harness


@pytest.fixture
def harness(mongo: MongoClient[Document], database: Database[Document]) -> Harness:
    """Give an empty pipeline."""
    return Harness(mongo, database.name)


def told(harness: Harness, **options: str) -> Story:
    """The story of ticket T1."""
    return story(harness.store, harness.registry, "acme", "T1", **options)


def come(harness: Harness, *minutes: int) -> None:
    """Let events of these minutes come in this order, a moment apart; each sets its own status."""
    for minute in minutes:
        harness.process(fact(f"e{minute}", minute, status=f"s{minute}"))
        harness.clock.advance(timedelta(seconds=1))


def test_events_stand_in_their_order_and_tell_how_they_came(harness: Harness) -> None:
    """The one that was overtaken is marked, and what each changed is that of its own place."""
    come(harness, 1, 3, 2)
    found = told(harness)
    assert [(one.record.event.event_id, one.overtaken) for one in found.happenings] == [
        ("e3", False),
        ("e2", True),
        ("e1", False),
    ]
    document = ("tickets", "acme:T1")
    assert [one.moves[document].get("status") for one in found.happenings] == [
        ("s2", "s3"),
        ("s1", "s2"),
        (None, "s1"),
    ]
    assert found.documents == [document]
    assert {row.handler for row in found.happenings[0].rows} >= {"tickets.apply", "owners.count"}
    assert as_json(found)["happenings"][1]["overtaken"] is True


def test_pages_go_on_where_the_one_before_ended(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is lost or shown twice."""
    monkeypatch.setattr(stories, "SHOWN", 2)
    come(harness, 1, 2, 3, 4, 5)
    seen: list[str] = []
    before: str | None = None
    while True:
        found = story(harness.store, harness.registry, "acme", "T1", before=before)
        seen += [one.record.event.event_id for one in found.happenings]
        before = found.after
        if before is None:
            break
    assert seen == ["e5", "e4", "e3", "e2", "e1"]


def test_an_entity_without_events_is_told(harness: Harness) -> None:
    """Rather than shown empty."""
    with pytest.raises(NotFound, match="nothing has happened"):
        told(harness)


@pytest.mark.parametrize(
    ("ids", "found"),
    [(["T1:x", "T1"], {"T1:x", "T1"}), (["T2"], {"T2"})],
)
def test_entities_and_tenants_are_found_by_their_ids(
    harness: Harness, ids: list[str], found: set[str]
) -> None:
    """In every tenant, whatever its name begins with."""
    tenants = ["acme", "acme-2", "acme.b", "acmeX", "zoe"]
    for tenant in tenants:
        for number, entity in enumerate(ids):
            harness.process(fact(f"{tenant}{number}", entity_id=entity, tenant=tenant))
    store: Callable[..., list[str]] = harness.store.tenants
    assert store(harness.registry.tables(), limit=10) == tenants
    assert len(store(harness.registry.tables(), limit=2)) == 2
    pairs = [(tenant, entity) for tenant in tenants for entity in ids]
    among = harness.store.records.events.entities_among([*pairs, ("acme", "none")])
    assert among == sorted(pairs)
    assert {entity for _, entity in among} == found
