"""Verification finds what was corrupted, all of it and nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import inc
from pipeline.errors import NotFound
from pipeline.replay import Difference, Kind
from pipeline.slots import Part
from pipeline.verification import Unknown
from pipeline.verification.pacing import Pace
from tests.facts import Document, fact, lose_payload
from tests.integration.sample_handlers import ALL, apply_ticket, broken, count_page
from tests.integration.verifying import Meanwhile, Verifying, found, plant, story, told

DERIVED = {"owner_totals", "tenant_totals", "status_totals", "page_totals"}


@pytest.fixture
def pipeline(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Verifying]:
    """Give a pipeline in which a story has happened, late events, retries and deaths in it."""
    broken.clear()
    yield told(Verifying(mongo, database.name, max_attempts=2))
    broken.clear()


def test_what_happened_in_order_and_out_of_it_is_found_right(pipeline: Verifying) -> None:
    """Late events, retries, events that were given up: all is as it should be."""
    assert pipeline.verify() == []
    counts = sum((unit.counts.get("events", 0) for unit in pipeline.asked_for()), 0)
    assert counts == 200


@pytest.mark.parametrize("seed", range(4))
def test_what_was_corrupted_is_found_and_nothing_else(pipeline: Verifying, seed: int) -> None:
    """Documents of folds, temporal rows and derived documents, changed and removed."""
    planted = plant(pipeline, seed, 40)
    assert {(found.table, found.id) for found in pipeline.verify()} == planted


def test_documents_that_no_event_leads_to_are_found(pipeline: Verifying) -> None:
    """Of a fold, of its history, of a derived table, and with an id that is no text."""
    database = pipeline.store.database
    sync = {"order": "2024", "event_at": pipeline.clock.now()}
    database.tickets.insert_one({"_id": "acme:nobody", "status": "new", "_sync": sync})
    database.tickets_changes.insert_one({"_id": "acme:T1|2024-01-01T00:00:00.000~-~x@acme/desk"})
    database.tickets_changes.insert_one({"_id": "acme:no|2024-01-01T00:00:00.000~-~x@acme/desk"})
    database.owner_totals.insert_one({"_id": "acme:zoe", "_sync": {"contributions": 1}})
    database.page_totals.insert_one({"_id": 7})
    found = [finding for finding in pipeline.verify() if isinstance(finding, Difference)]
    assert {finding.kind for finding in found} == {Kind.UNEXPECTED}
    assert {(finding.table, finding.id) for finding in found} == {
        ("tickets", "acme:nobody"),
        ("tickets_changes", "acme:T1|2024-01-01T00:00:00.000~-~x@acme/desk"),
        ("tickets_changes", "acme:no|2024-01-01T00:00:00.000~-~x@acme/desk"),
        ("owner_totals", "acme:zoe"),
        ("page_totals", 7),
    }


def test_the_parts_find_together_what_a_whole_pass_finds(pipeline: Verifying) -> None:
    """But for derived tables, to which entities of other parts contribute."""
    planted = plant(pipeline, 11, 40)
    of_entities = {one for one in planted if one[0].startswith(("tickets", "labels"))}
    found = [pipeline.verify(Part(number, 5)) for number in range(5)]
    assert {(one.table, one.id) for some in found for one in some} == of_entities
    assert sum(map(bool, found)) > 1


def test_a_row_of_the_ledger_that_is_lost_or_stands_alone_is_found(pipeline: Verifying) -> None:
    """What is to be done and is in no batch; and an observer of what was never done."""
    database, (lost, alone) = pipeline.store.database, _two_done(pipeline)
    database.ledger.delete_one({"_id": f"{lost}|tenants.count"})
    database.ledger.update_one({"_id": f"{alone}|owners.count"}, {"$set": {"state": "cancelled"}})
    found = {(one.id, one.kind) for one in pipeline.verify() if isinstance(one, Difference)}
    assert (f"{lost}|tenants.count", Kind.MISSING) in found
    assert (f"{alone}|statuses.count", Kind.UNEXPECTED) in found


def _two_done(pipeline: Verifying) -> list[str]:
    """Keys of two events that all their handlers are done with, and had something to do for."""
    rows = pipeline.store.database.ledger.find({"_id": {"$regex": "statuses.count$"}})
    return [row["_id"].partition("|")[0] for row in rows if row["key"]][:2]


def test_what_still_waits_is_not_taken_for_wrong(pipeline: Verifying) -> None:
    """Its row comes with its turn."""
    pipeline.submit(fact("w1", entity_id="T1"), fact("w2", entity_id="new"))
    assert pipeline.verify() == []
    assert sum(unit.counts.get("waiting", 0) for unit in pipeline.asked_for()) == 2
    pipeline.run(pipeline.waiting.popleft())
    assert pipeline.verify() == []
    report = pipeline.look_at("acme", "new")
    assert (report.findings, report.waiting) == ([], 2)


def test_what_is_written_meanwhile_is_not_taken_for_wrong(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two steps others go on writing to the same documents, late events too."""
    late = iter(story(2, 300))

    def happen() -> None:
        some = islice(late, 20)
        pipeline.process(*(e.model_copy(update={"event_id": f"m{e.event_id}"}) for e in some))

    monkeypatch.setattr(pipeline.verifier, "_traffic", Meanwhile(happen))
    monkeypatch.setattr("pipeline.verification.passes.ALONE", Pace(20, 3))
    assert pipeline.verify() == []
    assert pipeline.store.records.events.count() > 300


def test_a_step_that_is_done_twice_counts_once(pipeline: Verifying) -> None:
    """A worker was taken for dead, and another does the same step."""
    name, waiting = pipeline.verifier.begin()
    twice = list(waiting)
    while waiting:
        following = pipeline.verifier.run(waiting.pop(0)).following
        waiting += following
        twice += following
    for batch in twice:
        assert pipeline.verifier.run(batch).following == []
    assert found(pipeline, name) == []


def test_a_verification_of_folds_alone_ends(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """Where nothing is derived, there is no unit of a derived table."""
    pipeline = Verifying(mongo, database.name, handlers=[apply_ticket])
    pipeline.process(fact("e1", 1), fact("e2", 2, entity_id="T2"))
    name, waiting = pipeline.verifier.begin()
    turns = 0
    while waiting:
        waiting += pipeline.verifier.run(waiting.pop(0)).following
        turns += 1
        assert turns < 10
    kept = pipeline.store.records.verifications.get(name)
    assert kept is not None
    assert kept.ended_at is not None


class TestOneEntity:
    """`verify --id`."""

    def test_one_that_is_not_there_is_said_so(self, pipeline: Verifying) -> None:
        """Nothing is guessed."""
        with pytest.raises(NotFound, match="'T0815' of 'acme'"):
            pipeline.look_at("acme", "T0815")

    def test_its_document_rows_and_derived_documents_are_held_against_its_events(
        self, pipeline: Verifying
    ) -> None:
        """Each with what it should be and what it is."""
        database = pipeline.store.database
        key = next(
            doc["key"] for doc in database.tickets_changes.find({"key": {"$regex": "^acme"}})
        )
        owner = pipeline.document("tickets", key)["owner"]
        status = pipeline.document("tickets", key)["status"]
        points = pipeline.document("owner_totals", f"acme:{owner}")["points"]
        database.tickets.update_one({"_id": key}, {"$set": {"status": "lost"}})
        database.owner_totals.update_one({"_id": f"acme:{owner}"}, {"$inc": {"points": 5}})
        found = pipeline.look_at("acme", key.partition(":")[2])
        assert [tuple(one) for one in found.findings] == [
            ("tickets", key, Kind.DIFFERENT, "status", status, "lost"),
            ("owner_totals", f"acme:{owner}", Kind.DIFFERENT, "points", points, points + 5),
        ]


class TestWhatCannotBeTold:
    """It is counted as such, and not as fine."""

    def test_a_payload_that_is_gone(self, pipeline: Verifying) -> None:
        """The event is known, what it said is not."""
        event = _two_done(pipeline)[0]
        lose_payload(pipeline.store.database, event)
        found = pipeline.verify()
        assert found
        assert all(isinstance(one, Unknown) for one in found)
        assert any("stored no longer" in one.why for one in found if isinstance(one, Unknown))

    def test_a_row_that_cant_be_read(self, pipeline: Verifying) -> None:
        """Nothing can be told of its entity and what it counts in; of all others it can."""
        database, event = pipeline.store.database, _two_done(pipeline)[0]
        row = database.ledger.find_one({"_id": f"{event}|tickets.apply"})
        assert row is not None
        database.ledger.update_one({"_id": row["_id"]}, {"$set": {"state": "no such"}})
        other = database.tickets.find_one({"_id": {"$ne": row["key"]}})
        assert other is not None
        database.tickets.update_one({"_id": other["_id"]}, {"$set": {"status": "lost"}})
        found = pipeline.verify()
        unknown = [one for one in found if isinstance(one, Unknown)]
        assert [one.id for one in unknown if one.table == "entities"] == [row["key"]]
        assert {one.table for one in unknown if one.table != "entities"} <= DERIVED
        assert ("tickets", other["_id"]) in {(one.table, one.id) for one in found}
        assert all(unit.done for unit in pipeline.asked_for())

    def test_a_handler_that_no_module_declares(
        self, pipeline: Verifying, mongo: MongoClient[Document]
    ) -> None:
        """Its rows are there, and nothing can be run on their events."""
        fewer = [handler for handler in ALL if handler.name != "statuses.count"]
        later = Verifying(mongo, pipeline.store.database.name, handlers=fewer)
        found = later.verify()
        assert {type(one) for one in found} == {Unknown}
        assert all("statuses.count" in str(one) for one in found)

    def test_what_another_version_of_a_handler_has_written(
        self, pipeline: Verifying, mongo: MongoClient[Document]
    ) -> None:
        """Where it comes to something else, neither is known to be wrong."""
        newer = replace(count_page, version=2, function=lambda _event: inc(views=2))
        handlers = [newer if handler.name == "pages.count" else handler for handler in ALL]
        found = Verifying(mongo, pipeline.store.database.name, handlers=handlers).verify()
        assert {type(one) for one in found} == {Unknown}
        assert all("version 1 of pages.count, which is version 2 now" in str(one) for one in found)

    def test_a_handler_that_fails_now(self, pipeline: Verifying) -> None:
        """It did not when the event was applied."""
        event = _two_done(pipeline)[0]
        broken.add(("tickets.apply", event.partition("@")[0]))
        (found,) = pipeline.verify()
        assert isinstance(found, Unknown)
        assert "told to fail" in found.why


def test_looking_changes_nothing(pipeline: Verifying) -> None:
    """Neither tables nor ledger."""
    before = pipeline.everything()
    pipeline.verify()
    after = pipeline.everything()
    for name in ("events", "payloads", "ledger", *pipeline.registry.tables()):
        assert after[name] == before[name]
