"""Derived documents are put right whatever stands in them, and whatever others add meanwhile."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import Change, Event, State, Update, action, inc, maximum, observer
from pipeline.executor.plan import Run
from pipeline.registry import Registry
from pipeline.replay import Difference
from pipeline.store import Records
from pipeline.store.verifications import Unit, Verification
from pipeline.tables import Document as Row
from pipeline.verification import Repairer, Unknown
from pipeline.verification.mending import mend
from pipeline.verification.pacing import Pace
from pipeline.verification.passes import REPAIRED, UNREPAIRED
from pipeline.verification.sums import Sum
from tests.facts import NOON, Document, fact, lose_payload
from tests.integration.verifying import Verifying


class Desk(State):
    """What stands at it."""

    status: str = "new"


@action("desks.apply", on="desk.*", table="desks", key="{tenant}:{entity_id}")
def apply_desk(state: Desk | None, event: Event) -> Desk:
    """What the payload names is taken over."""
    state = state or Desk()
    return state.replace(status=event.payload.get("status", state.status))


@observer("desks.total", after=apply_desk, table="desk_totals", key="{tenant}")
def total_desks(change: Change[Desk], event: Event) -> Update:
    """Events, by status, how much money, and the highest sum."""
    paid = event.payload.get("paid", 1)
    return inc({"events": 1, f"by.{change.after.status}": 1, "money": Decimal("1.50")}) | maximum(
        {f"most.{change.after.status}": paid}
    )


@observer("desks.of", after=apply_desk, table="desks_of", key="{tenant}:{after.status}")
def by_status(_change: Change[Desk], _event: Event) -> Update:
    """How many events led to a status."""
    return inc(events=1)


@pytest.fixture
def pipeline(mongo: MongoClient[Document], database: Database[Document]) -> Verifying:
    """Give a pipeline in which one event of each of three tenants has happened."""
    pipeline = Verifying(mongo, database.name, handlers=[apply_desk, total_desks, by_status])
    pipeline.process(
        *(fact(f"e{n}", n, type="desk.booked", tenant=t) for n, t in enumerate(("a", "b", "c"), 1))
    )
    return pipeline


@pytest.fixture
def meanwhile(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Callable[[], object]], list[Any]]:
    """Give a verification with repairs, and what is done between a look at a table and its mend."""

    def verify(table: str, act: Callable[[], object]) -> list[Any]:
        look = pipeline.verifier._step  # noqa: SLF001 - what lies between looking and noting

        def slowly(verification: Verification, unit: Unit, pace: Pace) -> Any:
            step = look(verification, unit, pace)
            if unit.about == table:
                act()
            return step

        with monkeypatch.context() as patched:
            patched.setattr(pipeline.verifier, "_step", slowly)
            return pipeline.verify(repairs=True)

    return verify


def came_to(pipeline: Verifying) -> tuple[int, int]:
    """How much the last verification has put right, and not."""
    units = pipeline.asked_for()
    counted = [sum(u.counts.get(name, 0) for u in units) for name in (REPAIRED, UNREPAIRED)]
    return counted[0], counted[1]


Meanwhile = Callable[[str, Callable[[], object]], list[Any]]
SPOILT = [
    7.5,
    float("nan"),
    float("inf"),
    -(2**63),
    "much",
    True,
    None,
    [1],
    {"x": 1},
    Decimal128("NaN"),
    Decimal128("9" * 34),
]


@pytest.mark.parametrize("spoilt", SPOILT, ids=str)
@pytest.mark.parametrize("path", ["money", "events", "_sync.contributions", "most.new", "by"])
def test_whatever_stands_there_is_put_right_and_keeps_no_other_from_it(
    pipeline: Verifying, path: str, spoilt: object
) -> None:
    """A counter may have become anything; the next document of its step is put right too."""
    before = pipeline.domain()
    totals = pipeline.store.database.desk_totals
    totals.update_one({"_id": "a"}, {"$set": {path: spoilt}})
    totals.update_one({"_id": "b"}, {"$inc": {"money": 3}})
    assert {one.id for one in pipeline.verify(repairs=True)} == {"a", "b"}
    assert came_to(pipeline) == (2, 0)
    assert pipeline.verify() == []
    assert pipeline.domain() == before


def test_what_has_begun_to_count_meanwhile_stays(pipeline: Verifying, meanwhile: Meanwhile) -> None:
    """Fields that should not have been there, and by the time of the repair should."""
    totals = pipeline.store.database.desk_totals
    totals.update_one({"_id": "a"}, {"$set": {"by.open": 5, "most.open": 9, "by.shut": 2}})
    event = fact("e9", 9, type="desk.booked", tenant="a", status="open", paid=4)
    assert meanwhile("desk_totals", lambda: pipeline.process(event))
    assert came_to(pipeline) == (1, 0)
    assert pipeline.document("desk_totals", "a")["by"] == {"new": 1, "open": 1, "shut": 0}
    assert pipeline.document("desk_totals", "a")["most"] == {"new": 1, "open": 4}
    assert pipeline.verify() == []


@pytest.mark.parametrize("spoilt", [float("nan"), 7.5, "much"], ids=str)
def test_what_cant_be_added_to_is_left_for_the_next_look_where_others_have_written_since(
    pipeline: Verifying, meanwhile: Meanwhile, spoilt: object
) -> None:
    """What the sum is by now is not known; what else can be put right is."""
    totals = pipeline.store.database.desk_totals
    totals.update_one({"_id": "a"}, {"$set": {"by.shut": spoilt}, "$inc": {"events": 5}})
    event = fact("e9", 9, type="desk.booked", tenant="a")
    assert meanwhile("desk_totals", lambda: pipeline.process(event))
    assert came_to(pipeline) == (0, 1)
    assert pipeline.document("desk_totals", "a")["events"] == 2
    pipeline.clock.advance(timedelta(seconds=1))
    assert len(pipeline.verify(repairs=True)) == 1
    assert came_to(pipeline) == (1, 0)
    assert pipeline.verify() == []


@pytest.mark.parametrize("spoilt", [float("nan"), "much", {"x": 1}, 2**63 - 1], ids=str)
def test_nothing_is_added_to_what_is_spoilt_meanwhile(
    pipeline: Verifying, meanwhile: Meanwhile, spoilt: object
) -> None:
    """It would not come to what it should, or be refused with the others of the step."""
    totals = pipeline.store.database.desk_totals
    totals.update_many({}, {"$inc": {"events": -5}})
    spoil = {"$set": {"events": spoilt}}
    meanwhile("desk_totals", lambda: totals.update_one({"_id": "a"}, spoil))
    assert came_to(pipeline) == (2, 1)
    assert {one.id for one in pipeline.verify(repairs=True)} == {"a"}
    assert pipeline.verify() == []


def test_a_document_whose_contributions_have_moved_is_not_made_again(
    pipeline: Verifying, meanwhile: Meanwhile
) -> None:
    """It was missing, and by the time of the repair it should be."""
    pipeline.store.database.desks_of.delete_many({})
    early = fact("e0", 0, type="desk.booked", tenant="a", status="open")
    assert meanwhile("desks_of", lambda: pipeline.process(early))
    assert came_to(pipeline) == (2, 1)
    there = {doc["_id"] for doc in pipeline.store.database.desks_of.find()}
    assert there == {"a:open", "b:new", "c:new"}
    assert pipeline.verify() == []


def test_a_document_that_is_made_again_bears_the_time_of_its_last_event(
    pipeline: Verifying,
) -> None:
    """By a verification of everything, and by one of an entity, and not that of the run."""
    pipeline.process(fact("early", 0, type="desk.booked", tenant="c", entity_id="T2"))
    totals = pipeline.store.database.desk_totals
    totals.delete_many({})
    pipeline.verify(repairs=True)
    repairer = Repairer(pipeline.store, pipeline.registry, pipeline.clock, pipeline.settings)
    again = pipeline.document("desk_totals", "c")
    totals.delete_one({"_id": "c"})
    assert repairer.entity_and_derived("c", "T2")[:2] == (1, 0)
    alone = pipeline.document("desk_totals", "c")
    assert again["_sync"]["event_at"] == alone["_sync"]["event_at"] == NOON + timedelta(minutes=3)
    assert pipeline.verify() == []


def test_one_document_that_cant_be_mended_is_told_and_the_others_are_mended(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same step, and in the same transaction."""
    before = pipeline.domain()
    totals = pipeline.store.database.desk_totals
    totals.update_many({}, {"$inc": {"events": 5}})

    def mend_most(
        tx: Records,
        registry: Registry,
        run: Run,
        table: str,
        key: str,
        total: Sum,
        seen: Row | None,
    ) -> bool:
        done = mend(tx, registry, run, table, key, total, seen)
        if key == "b":
            raise ValueError("not this one")
        return done

    monkeypatch.setattr("pipeline.verification.repairing.mend", mend_most)
    found = pipeline.verify(repairs=True)
    (told,) = (one for one in found if isinstance(one, Unknown))
    assert (
        str(told) == "desk_totals[b]: can't tell: could not be put right: ValueError: not this one"
    )
    assert came_to(pipeline) == (2, 1)
    monkeypatch.undo()
    assert [one.id for one in pipeline.verify()] == ["b"]
    totals.update_one({"_id": "b"}, {"$inc": {"events": -5}})
    assert pipeline.domain() == before


def test_documents_of_derived_tables_whose_ids_are_no_text_are_removed(
    pipeline: Verifying,
) -> None:
    """Nothing contributes to such an id."""
    before = pipeline.domain()
    pipeline.store.database.desk_totals.insert_many([{"_id": 7}, {"_id": {"tenant": "a"}}])
    assert len(pipeline.verify(repairs=True)) == 2
    assert came_to(pipeline) == (2, 0)
    assert pipeline.domain() == before


def test_what_stays_wrong_of_an_entity_is_counted(pipeline: Verifying) -> None:
    """Its fold can't be run on it any more, so nothing can be made of a row that is lost."""
    lost = "e1@a/desk|desks.total"
    database = pipeline.store.database
    database.ledger.delete_one({"_id": lost})
    lose_payload(database, "e1@a/desk")
    database.desks.update_one({"_id": "b:T1"}, {"$set": {"status": "lost"}})
    found = pipeline.verify(repairs=True)
    assert {one.id for one in found if isinstance(one, Difference)} >= {lost, "b:T1"}
    assert came_to(pipeline)[1] == 1
    assert lost in {one.id for one in pipeline.verify() if isinstance(one, Difference)}
