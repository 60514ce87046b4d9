"""Repair brings back what was corrupted, and a look afterwards finds nothing."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import Change, Event, State, Update, action, inc, observer
from pipeline.declarations import Handler, Lane
from pipeline.replay import Difference, compare, replay
from pipeline.slots import Part
from pipeline.store import Batch
from pipeline.store.verifications import Unit, Verification
from pipeline.verification import HANDLER, Unknown, Verifier
from pipeline.verification.pacing import Pace
from pipeline.verification.rebuilding import Rebuilt
from pipeline.verification.repairing import Repairer
from tests.facts import Document, fact
from tests.integration.sample_handlers import broken
from tests.integration.verifying import Meanwhile, Verifying, plant, story, told


@pytest.fixture
def pipeline(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Verifying]:
    """Give a pipeline in which a story has happened."""
    broken.clear()
    yield told(Verifying(mongo, database.name, max_attempts=2))
    broken.clear()


@pytest.mark.parametrize("seed", range(3))
def test_what_was_corrupted_is_as_it_was_before(pipeline: Verifying, seed: int) -> None:
    """Documents of folds, temporal rows, derived documents; nothing else is touched."""
    before = pipeline.domain()
    planted = plant(pipeline, seed, 40)
    found = pipeline.verify(repairs=True)
    assert {(one.table, one.id) for one in found} == planted
    assert sum(unit.counts.get("repaired", 0) for unit in pipeline.asked_for()) > 0
    assert pipeline.verify() == []
    assert pipeline.domain() == before


def test_documents_that_no_event_leads_to_are_removed(pipeline: Verifying) -> None:
    """Whatever their ids are."""
    before = pipeline.domain()
    database = pipeline.store.database
    sync = {"order": "2024", "event_at": pipeline.clock.now()}
    database.tickets.insert_one({"_id": "acme:nobody", "status": "new", "_sync": sync})
    database.tickets_changes.insert_one({"_id": "acme:T1|2024-01-01T00:00:00.000~-~x@acme/desk"})
    database.tickets_changes.insert_one({"_id": "acme:no|2024-01-01T00:00:00.000~-~x@acme/desk"})
    database.owner_totals.insert_one({"_id": "acme:zoe", "_sync": {"contributions": 1}})
    database.tickets.insert_one({"_id": 7})
    assert len(pipeline.verify(repairs=True)) == 5
    assert pipeline.domain() == before


def test_a_part_is_put_right_and_the_others_are_not(pipeline: Verifying) -> None:
    """`verify --hash` with `--mode update`."""
    plant(pipeline, 5, 40)
    pipeline.verify(Part(0, 2), repairs=True)
    assert pipeline.verify(Part(0, 2)) == []
    assert pipeline.verify(Part(1, 2)) != []


def test_lost_work_is_taken_up_again(pipeline: Verifying) -> None:
    """An action that no batch stands for, and an observer without its row."""
    late, seen = fact("lost", 1000, entity_id="T1"), fact("seen", 1001, entity_id="T2", owner="cid")
    pipeline.process(seen)
    pipeline.submit(late)
    pipeline.waiting.clear()
    database = pipeline.store.database
    database.batches.delete_many({"events": late.key})
    database.ledger.delete_one({"_id": f"{seen.key}|tenants.count"})
    pipeline.verify(repairs=True)
    pipeline.drain()
    assert set(pipeline.states(late).values()) == {"done", "skipped"}
    assert pipeline.states(seen)["tenants.count"] in ("done", "skipped")
    assert pipeline.verify() == []


def test_what_a_handler_has_contributed_wrongly_is_corrected(pipeline: Verifying) -> None:
    """In the ledger and in the document, also where it takes no minus."""
    database = pipeline.store.database
    row = database.ledger.find_one({"_id": {"$regex": "owners.count$"}, "key": {"$ne": None}})
    assert row is not None
    before = pipeline.domain()
    points = row["wrote"]["inc"]["points"]
    wrote = row["wrote"] | {
        "inc": row["wrote"]["inc"] | {"points": 10**6},
        "max": row["wrote"]["max"] | {"most": 10**6},
    }
    database.ledger.update_one({"_id": row["_id"]}, {"$set": {"wrote": wrote}})
    change = {"$inc": {"points": 10**6 - points}, "$max": {"most": 10**6}}
    database.owner_totals.update_one({"_id": row["key"]}, change)
    found = pipeline.verify(repairs=True)
    assert [(one.table, one.id) for one in found] == [("ledger", row["_id"])]
    assert pipeline.domain() == before
    assert pipeline.verify() == []


def test_what_is_written_meanwhile_is_kept(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two steps others go on writing to the same documents, late events too."""
    more = iter(story(2, 200))
    sent: list[Event] = []

    def happen() -> None:
        some = [e.model_copy(update={"event_id": f"m{e.event_id}"}) for e in islice(more, 10)]
        sent.extend(some)
        pipeline.process(*some)

    # Totals, to which everybody adds while they are put right.
    for table, key, path in (
        ("tenant_totals", "acme", "tickets"),
        ("owner_totals", "acme:ann", "points"),
        ("owner_totals", "beta:bob", "most"),
    ):
        pipeline.store.database[table].update_one({"_id": key}, {"$inc": {path: 1000}})
    monkeypatch.setattr(pipeline.verifier, "_traffic", Meanwhile(happen))
    monkeypatch.setattr("pipeline.verification.passes.ALONE", Pace(20, 2))
    assert len(pipeline.verify(repairs=True)) == 3
    monkeypatch.undo()
    pipeline.drain()
    assert len(sent) > 100
    assert pipeline.verify() == []


def test_two_workers_at_one_step_put_right_once(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One was taken for dead; what it adds to a counter is undone with its step."""
    before = pipeline.domain()
    pipeline.store.database.tenant_totals.update_one({"_id": "acme"}, {"$inc": {"tickets": 5}})
    other = Verifier(
        pipeline.store, pipeline.registry, pipeline.clock, pipeline.settings, worker="other"
    )
    look = pipeline.verifier._step  # noqa: SLF001 - what lies between looking and noting

    def slowly(verification: Verification, unit: Unit, pace: Pace) -> Any:
        step = look(verification, unit, pace)
        other.run(Batch.of(HANDLER, [unit.id], Lane.REPAIR))
        return step

    monkeypatch.setattr(pipeline.verifier, "_step", slowly)
    assert len(pipeline.verify(repairs=True)) == 1
    assert pipeline.domain() == before


class Room(State):
    """How often it was booked."""

    booked: int = 0


@action("rooms.book", on="room.booked", table="rooms", key="{tenant}:{payload.room}")
def book_room(state: Room | None, _event: Event) -> Room:
    """A room is no entity of its own: several entities' events are about it."""
    return (state or Room()).replace(booked=(state or Room()).booked + 1)


@observer("rooms.total", after=book_room, table="room_totals", key="{tenant}")
def total_rooms(change: Change[Room], _event: Event) -> Update:
    """How many bookings, and of how many rooms."""
    return inc(bookings=1, rooms=int(change.before is None))


def test_documents_of_several_entities_are_verified_and_put_right_too(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """They can't be split by entity, so they are looked at all together."""
    pipeline = Verifying(mongo, database.name, handlers=[book_room, total_rooms])
    events = [
        fact(f"e{n}", n, type="room.booked", entity_id=f"guest{n % 7}", room=f"R{n % 3}")
        for n in range(40)
    ]
    pipeline.process(*events)
    assert pipeline.verify() == []
    before = pipeline.domain()
    database.rooms.update_one({"_id": "acme:R1"}, {"$set": {"booked": 7}})
    database.rooms.insert_one({"_id": "acme:R9", "booked": 1})
    database.rooms_changes.delete_one({"key": "acme:R2"})
    database.room_totals.update_one({}, {"$set": {"bookings": 1}})
    assert len(pipeline.verify(repairs=True)) == 4
    assert pipeline.verify() == []
    assert pipeline.domain() == before


def test_the_repaired_tables_equal_a_sequential_run(pipeline: Verifying) -> None:
    """The oracle, which shares nothing with verification, agrees."""
    plant(pipeline, 8, 40)
    pipeline.verify(repairs=True)
    actual = {name: pipeline.store.scan(name) for name in pipeline.registry.tables()}
    # What was told to fail while the story happened fails here as well.
    assert compare(replay(pipeline.registry, story(1, 200)), actual).equal


def test_a_newer_version_of_a_handler_takes_over_with_an_update(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """What can't be told is left alone; that is for a replay of all that is wanted anew."""
    pipeline = Verifying(mongo, database.name, handlers=[book_room, total_rooms])
    pipeline.process(fact("e1", type="room.booked", room="R1"))
    newer = replace(total_rooms, version=2, function=lambda _change, _event: inc(bookings=2))
    later = Verifying(mongo, database.name, handlers=[book_room, newer])
    later.verify(repairs=True)
    assert later.document("room_totals", "acme")["bookings"] == 1


def desks(on: str, key: str) -> list[Handler]:
    """A fold of the types that are asked for, and what observes it."""

    @action("desks.apply", on=on, table="desks", key=key)
    def apply(state: Room | None, _event: Event) -> Room:
        """How many events."""
        return (state or Room()).replace(booked=(state or Room()).booked + 1)

    @observer("desks.total", after=apply, table="desk_totals", key="{tenant}")
    def total(_change: Change[Room], _event: Event) -> Update:
        """The same of all."""
        return inc(booked=1)

    return [apply, total]


@pytest.mark.parametrize("key", ["{tenant}:{entity_id}", "{tenant}:{payload.room}"])
def test_what_a_handler_is_no_longer_asked_for_is_left_as_it_is(
    mongo: MongoClient[Document], database: Database[Document], key: str
) -> None:
    """Whoever narrows `on` does not make rows wrong that were right; the others are mended."""
    pipeline = Verifying(mongo, database.name, handlers=desks("desk.*", key))
    pipeline.process(
        fact("e1", 1, type="desk.booked", entity_id="R1", room="R1"),
        fact("e2", 2, type="desk.moved", entity_id="R1", room="R1"),
        fact("e3", 3, type="desk.moved", entity_id="R2", room="R2"),
        fact("e4", 4, type="desk.booked", entity_id="R3", room="R3"),
    )
    before = pipeline.domain()
    database.desks.update_one({"_id": "acme:R3"}, {"$set": {"booked": 9}})
    later = Verifying(mongo, database.name, handlers=desks("desk.booked", key))
    found = later.verify(repairs=True)
    wrong = {(one.table, one.id) for one in found if isinstance(one, Difference)}
    unknown = {(one.table, one.id) for one in found if isinstance(one, Unknown)}
    assert wrong == {("desks", "acme:R3")}
    assert unknown == {("desks", "acme:R1"), ("desks", "acme:R2")} | {
        ("ledger", f"{event}@acme/desk|{handler}")
        for event in ("e2", "e3")
        for handler in ("desks.apply", "desks.total")
    }
    assert pipeline.domain() == before


def test_what_cant_be_put_right_is_told_and_the_others_are_put_right(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verification comes to its end, too: its batches do not fail again and again."""
    database = pipeline.store.database
    one, other = (doc["_id"] for doc in database.tickets.find().limit(2))
    database.tickets.update_many({"_id": {"$in": [one, other]}}, {"$set": {"status": "lost"}})
    totals = database.tenant_totals.update_many({}, {"$inc": {"tickets": 1}}).modified_count
    real = Repairer.entity

    def entity(self: Repairer, tenant: str, entity_id: str) -> Rebuilt:
        if f"{tenant}:{entity_id}" == one:
            raise ValueError("not this one")
        return real(self, tenant, entity_id)

    def refuse(*_args: object, **_kwargs: object) -> bool:
        raise ValueError("nor this")

    monkeypatch.setattr(Repairer, "entity", entity)
    monkeypatch.setattr("pipeline.verification.repairing.mend", refuse)
    found = pipeline.verify(repairs=True)
    told = {str(finding) for finding in found if isinstance(finding, Unknown)}
    why = "can't tell: could not be put right: ValueError:"
    assert told == {
        f"entities[{one}]: {why} not this one",
        *(f"tenant_totals[{tenant}]: {why} nor this" for tenant in ("acme", "beta")),
    }
    assert all(unit.done for unit in pipeline.asked_for())
    monkeypatch.undo()
    again = {(finding.table, finding.id) for finding in pipeline.verify()}
    assert {("tickets", one)} < again
    assert ("tickets", other) not in again
    assert len(again) == 1 + totals


def test_a_document_whose_stamp_is_spoilt_is_put_right(pipeline: Verifying) -> None:
    """Its fence can't be taken over; the next lease's is above all before it anyway."""
    before = pipeline.domain()
    change = {"status": "lost", "_sync.fence": "high", "_sync.numbers": 7}
    pipeline.store.database.tickets.update_one({}, {"$set": change})
    pipeline.verify(repairs=True)
    assert pipeline.verify() == []
    assert pipeline.domain() == before


def test_what_counts_in_a_total_and_cant_be_read_is_not_taken_out_of_it(
    pipeline: Verifying,
) -> None:
    """The totals differ from what could be added up, and nobody knows whether they are wrong."""
    database, before = pipeline.store.database, pipeline.domain()
    row = database.ledger.find_one({"_id": {"$regex": "tickets.apply$"}, "state": "done"})
    assert row is not None
    database.ledger.update_one({"_id": row["_id"]}, {"$set": {"state": "no such"}})
    found = pipeline.verify(repairs=True)
    assert {type(one) for one in found} == {Unknown}
    assert ("entities", row["key"]) in {(one.table, one.id) for one in found}
    assert {"tenant_totals"} < {one.table for one in found}
    assert pipeline.domain() == before


def test_what_a_handler_that_is_gone_has_added_is_not_taken_out(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """Where it wrote to a table that others write to as well."""

    @action("calls.count", on="desk.called", table="sums", key="{tenant}")
    def count_call(_event: Event) -> Update:
        return inc(calls=1)

    @action("mails.count", on="desk.mailed", table="sums", key="{tenant}")
    def count_mail(_event: Event) -> Update:
        return inc(mails=1)

    pipeline = Verifying(mongo, database.name, handlers=[count_call, count_mail])
    pipeline.process(fact("e1", type="desk.called"), fact("e2", type="desk.mailed"))
    pipeline.process(fact("e3", type="desk.called", tenant="beta"))
    before = pipeline.domain()
    database.sums.update_one({"_id": "beta"}, {"$set": {"calls": 7}})
    later = Verifying(mongo, database.name, handlers=[count_call])
    found = later.verify(repairs=True)
    told = {(one.table, one.id): type(one) for one in found}
    assert told == {
        ("ledger", "e2@acme/desk|mails.count"): Unknown,
        ("sums", "acme"): Unknown,
        ("sums", "beta"): Difference,
    }
    assert pipeline.domain() == before
    alone = {(one.table, one.id): type(one) for one in later.look_at("acme", "T1").findings}
    assert alone == {key: kind for key, kind in told.items() if key[1] != "beta"}
