"""Several late events of one document: which of them is at fault, and what is said of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import Cancel, Change, Event, Snooze, State, Update, action, folding, inc, observer
from pipeline.control import ControlWord
from pipeline.verification.entity import verify_entity
from tests.facts import NOON, Document, fact
from tests.integration.sample_handlers import broken
from tests.integration.undoing import Person, check

WORDS: dict[str, ControlWord] = {"cancel": Cancel("superseded"), "snooze": Snooze(NOON)}


class Thing(State):
    """What it holds, and the events that made it so."""

    value: Any = None
    log: tuple[str, ...] = ()


@action("things.apply", on="thing.*", table="things", key="{tenant}:{entity_id}", max_attempts=2)
def apply_thing(state: Thing | None, event: Event) -> Thing:
    """`with` and `without` name an event with, or without, which this one has a word to say."""
    said, state = event.payload, state or Thing()
    if said.get("with") in state.log or ("without" in said and said["without"] not in state.log):
        raise WORDS[said["word"]]
    return state.replace(value=said.get("value", state.value), log=(*state.log, event.event_id))


@observer("things.count", after=apply_thing, table="thing_totals", key="{tenant}")
def count_thing(change: Change[Thing], _event: Event) -> Update:
    """How many changes, and what the lengths come to."""
    return inc(changes=1, lengths=len(change.after.log))


def thing(event_id: str, minute: float, **said: Any) -> Event:
    """An event of the one thing."""
    return fact(event_id, minute, type="thing.changed", **said)


@pytest.fixture
def things(mongo: MongoClient[Document], database: Database[Document]) -> Person:
    """Give a pipeline for things."""
    return Person(mongo, database.name, handlers=(apply_thing, count_thing))


@pytest.fixture
def person(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Person]:
    """Give a pipeline with somebody who undoes events; no handler is told to fail."""
    broken.clear()
    yield Person(mongo, database.name)
    broken.clear()


def test_late_events_far_apart_are_applied_whatever_lies_between(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rewrites one row; between them are more than one transaction may rewrite."""
    monkeypatch.setattr(folding, "MOST_ROWS", 10)
    whole = {"owner": "ann", "status": "open"}
    stored = [fact(f"e{n}", n, points=n, **whole) for n in range(1, 31)]
    late = [fact("l1", 1.5, points=100), fact("l2", 28.5, points=100)]
    person.process(*stored)
    person.process(*late)
    assert [person.states(event)["tickets.apply"] for event in late] == ["done", "done"]
    check(person, [*stored, *late])


def test_late_events_that_change_too_much_together_are_applied_apart(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is cut; the one that is too much alone is the only dead letter."""
    monkeypatch.setattr(folding, "MOST_ROWS", 10)
    owners = {4: "ann", 11: "bob", 18: "cid", 25: "dan"}
    stored = [
        fact(f"e{n:02}", n, add=1, **({"owner": owners[n]} if n in owners else {}))
        for n in range(30)
    ]
    late = [fact(f"l{n}", n + 0.5, owner="eve") for n in (6, 13, 20)]
    guilty = fact("guilty", 1.5, add=1)
    person.process(*stored)
    person.process(*late, guilty)
    assert [person.states(event)["tickets.apply"] for event in late] == ["done"] * 3
    assert person.row(guilty, "tickets.apply").state == "dead"
    assert (person.row(guilty, "tickets.apply").error or {})["type"] == "RefoldTooLarge"


@pytest.mark.parametrize("word", WORDS)
def test_a_later_events_word_is_a_failure_of_the_late_one_and_of_no_other(
    things: Person, word: str
) -> None:
    """It is tried again and then a dead letter, and says whose word it was."""
    late, later = thing("late", 1), thing("later", 2, word=word, **{"with": "late"})
    innocent = [thing("i1", 0.5), thing("i2", 1.5)]
    things.process(later)
    things.process(innocent[0], late, innocent[1])
    row = things.row(late, "things.apply")
    assert row.state == "retrying"
    assert row.error is not None
    assert row.error["type"] == "LaterEventFails"
    assert row.error["message"].startswith("later@acme/desk can't be applied after it: ")
    assert str(WORDS[word]) in row.error["message"]
    assert [things.states(event)["things.apply"] for event in innocent] == ["done", "done"]
    things.retry()
    assert things.states(late)["things.apply"] == "dead"
    things.undo(late)
    check(things, [late, later, *innocent])


def test_what_was_cancelled_without_an_undone_event_comes_back_with_it(things: Person) -> None:
    """In the same batch: alone it would be cancelled again."""
    events = [
        thing("e1", 1),
        thing("e2", 2, without="e1", word="cancel"),
        thing("e3", 3, without="e2", word="snooze"),
    ]
    things.process(*events)
    before = things.domain()
    things.undo(events[0])
    assert [things.states(event)["things.apply"] for event in events] == [
        "voided",
        "cancelled",
        "snoozed",
    ]
    assert things.redo(events[0]).requeued == 2
    assert things.domain() == before
    assert things.store.records.batches.idle()
    check(things, events)


def test_what_a_person_discarded_does_not_come_back_with_it(things: Person) -> None:
    """Nor what was cancelled before."""
    one, fallen = thing("e1", 1), thing("e2", 2, without="e1", word="snooze")
    cancelled = thing("e3", 3, without="e0", word="cancel")
    things.process(one, fallen, cancelled)
    things.undo(one)
    row = things.row(fallen, "things.apply")
    things.store.records.ledger.put([row.discard("of no use", things.clock.now())])
    things.store.records.batches.close([row.job])
    assert things.redo(one).requeued == 0
    assert things.states(fallen)["things.apply"] == "cancelled"
    assert things.states(cancelled)["things.apply"] == "cancelled"


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), ([0], [False])], ids=repr)
def test_a_change_of_type_alone_is_healed_and_undone(
    things: Person, one: object, other: object
) -> None:
    """As a sequential run has it, and verification."""
    events = [thing("e1", 1, value=one), thing("e3", 3, value=other), thing("e2", 2)]
    things.process(*events[:2])
    things.process(events[2])
    check(things, events)
    (change,) = (c for c in things.rehearse(events[1]).documents if c.table == "things")
    assert "value" in {name for name, _, _ in change.fields()}
    things.undo(events[1])
    assert repr(things.document("things", "acme:T1")["value"]) == repr(one)
    check(things, events)
    report = verify_entity(things.store, things.registry, "acme", "T1", things.clock.now())
    assert report.findings == []
