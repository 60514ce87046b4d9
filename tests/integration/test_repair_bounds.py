"""A repair changes what is known to be wrong, and leaves everything else as it stands."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import Change, Event, State, Update, action, effect, inc, observer
from pipeline.declarations import Handler
from pipeline.replay import Difference, Kind
from pipeline.verification import Unknown
from tests.facts import Document, fact
from tests.integration.verifying import Verifying

moody: set[str] = set()
mailed: list[str] = []


class Desk(State):
    """How often it was booked."""

    booked: int = 0


@action("desks.apply", on="desk.*", table="desks", key="{tenant}:{entity_id}")
def apply_desk(state: Desk | None, _event: Event) -> Desk:
    """One more booking."""
    state = state or Desk()
    return state.replace(booked=state.booked + 1)


@observer("desks.total", after=apply_desk, table="desk_totals", key="{tenant}")
def total_desks(change: Change[Desk], _event: Event) -> Update:
    """Bookings, by how many the desk had had by then."""
    return inc({"booked": 1, f"by.n{change.after.booked}": 1})


@effect("desks.mail", after=apply_desk)
def mail(_change: Change[Desk], _event: Event, key: str) -> bool:
    """Write to who booked it."""
    mailed.append(key)
    return True


@action("visits.count", on="desk.*", table="visits", key="{tenant}")
def count_visit(_event: Event) -> Update:
    """Every event is a visit."""
    return inc(visits=1)


@action("moods.count", on="desk.*", table="moods", key="{tenant}")
def count_mood(event: Event) -> Update:
    """As long as the mood lasts."""
    if event.event_id in moody:
        raise ValueError("not any more")
    return inc(moods=1)


@pytest.fixture
def database(database: Database[Document]) -> Iterator[Database[Document]]:
    """Give a database, and handlers that neither fail nor have mailed anything."""
    moody.clear()
    mailed.clear()
    yield database
    moody.clear()


def desks(
    mongo: MongoClient[Document], database: Database[Document], *handlers: Handler
) -> Verifying:
    """Desks with these handlers, of which the first is run on three events."""
    pipeline = Verifying(mongo, database.name, handlers=handlers)
    pipeline.process(*(fact(f"e{n}", n, type="desk.booked") for n in (1, 2, 3)))
    return pipeline


def row(event: str, handler: str) -> str:
    """The id of a row of the ledger."""
    return f"{event}@acme/desk|{handler}"


def newer(handler: Handler, function: object) -> Handler:
    """Another version of a handler, which comes to something else."""
    return replace(handler, version=2, function=function)


def test_what_cant_be_told_stays_beside_what_is_wrong(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """A fold of another version, and a lost row of the same entity."""
    desks(mongo, database, apply_desk, total_desks, count_visit)
    before = database.desks.find_one(), database.desk_totals.find_one()
    apply = newer(apply_desk, lambda _state, _event: Desk(booked=100))
    total = replace(total_desks, after=apply)
    later = Verifying(mongo, database.name, handlers=[apply, total, count_visit])
    database.ledger.delete_one({"_id": row("e1", "visits.count")})
    found = later.verify(repairs=True)
    assert {one.id for one in found if isinstance(one, Difference)} >= {row("e1", "visits.count")}
    assert {("desks", "acme:T1")} <= {
        (one.table, one.id) for one in found if isinstance(one, Unknown)
    }
    assert (database.desks.find_one(), database.desk_totals.find_one()) == before
    assert [batch.handler for batch in later.waiting] == ["visits.count"]


def test_what_follows_from_what_cant_be_told_cant_be_told_either(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """The observer is of the same version, and sees what the newer fold makes."""
    desks(mongo, database, apply_desk, total_desks)
    apply = newer(apply_desk, lambda _state, _event: Desk(booked=100))
    total = replace(total_desks, after=apply)
    later = Verifying(mongo, database.name, handlers=[apply, total])
    found = later.verify(repairs=True)
    assert {type(one) for one in found} == {Unknown}
    assert {one.id for one in found} == {
        "acme:T1",
        *(row(event, "desks.total") for event in ("e1", "e2", "e3")),
    }
    assert all("version 1 of desks.apply" in str(one) for one in found)


def test_an_observer_of_another_version_stays_beside_a_wrong_document(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """The document is put right, and what was contributed is left."""
    pipeline = desks(mongo, database, apply_desk, total_desks)
    before = pipeline.domain()
    database.desks.update_one({}, {"$set": {"booked": 9}})
    database.desks_changes.delete_many({})
    total = newer(total_desks, lambda _change, _event: inc(booked=100))
    found = Verifying(mongo, database.name, handlers=[apply_desk, total]).verify(repairs=True)
    assert any(isinstance(one, Unknown) for one in found)
    assert pipeline.domain() == before


def test_a_handler_that_fails_now_keeps_no_other_from_being_put_right(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """Neither another one nor itself for another event."""
    pipeline = desks(mongo, database, count_visit, count_mood)
    before = pipeline.domain()
    for handler, event, table, path in (
        ("visits.count", "e1", "visits", "visits"),
        ("moods.count", "e2", "moods", "moods"),
    ):
        id_ = row(event, handler)
        database.ledger.update_one({"_id": id_}, {"$set": {f"wrote.inc.{path}": 7}})
        database[table].update_one({}, {"$inc": {path: 6}})
    moody.add("e1")
    found = pipeline.verify(repairs=True)
    assert [one.id for one in found if isinstance(one, Unknown)] == [row("e1", "moods.count")]
    assert pipeline.domain() == before


def test_no_repair_does_what_is_done_outside(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """An effect that is newer than the events: nobody gets mail about all of the past."""
    desks(mongo, database, apply_desk, total_desks)
    later = Verifying(mongo, database.name, handlers=[apply_desk, total_desks, mail])
    database.desks.update_one({}, {"$set": {"booked": 9}})
    found = later.verify(repairs=True)
    later.drain()
    assert mailed == []
    told = [one for one in found if isinstance(one, Unknown)]
    assert {one.id for one in told} == {row(event, "desks.mail") for event in ("e1", "e2", "e3")}
    assert all("never asked to do it" in one.why for one in told)
    assert later.document("desks", "acme:T1")["booked"] == 3
    assert {one.id for one in later.verify()} == {one.id for one in told}


def test_an_effect_that_waits_is_not_told(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """Its batch is there; it is done once, by who runs it."""
    pipeline = Verifying(mongo, database.name, handlers=[apply_desk, mail])
    pipeline.submit(fact("e1", 1, type="desk.booked"))
    pipeline.run(pipeline.waiting.popleft())
    assert pipeline.verify(repairs=True) == []
    pipeline.drain()
    assert mailed == [row("e1", "desks.mail")]


@pytest.mark.parametrize("above", ["desks.apply", "desks.total"])
def test_what_follows_from_nothing_is_taken_off(
    mongo: MongoClient[Document], database: Database[Document], above: str
) -> None:
    """An observer counts for an event that what it observes had no effect for."""

    @observer("desks.again", after=total_desks, table="again_totals", key="{tenant}")
    def count_again(_change: Change[Desk], _event: Event) -> Update:
        return inc(events=1)

    pipeline = desks(mongo, database, apply_desk, total_desks, count_again)
    gone = {"state": "cancelled", "key": None, "wrote": {}}
    database.ledger.update_one({"_id": row("e3", above)}, {"$set": gone})
    found = pipeline.verify(repairs=True)
    assert (row("e3", "desks.again"), Kind.UNEXPECTED) in {
        (one.id, one.kind) for one in found if isinstance(one, Difference)
    }
    assert pipeline.document("again_totals", "acme")["events"] == 2
    assert pipeline.verify() == []
