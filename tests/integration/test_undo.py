"""An event that a person takes back is as if it had never come."""

from collections.abc import Iterator

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import folding
from pipeline.errors import HandlerFault, NotFound, RefoldTooLarge, UnknownHandler
from pipeline.event import Event
from pipeline.tracing import trace
from pipeline.undo import as_json, key_of
from pipeline.verification.entity import verify_entity
from pipeline.verification.findings import Finding
from tests.facts import Document, fact
from tests.integration.sample_handlers import ALL, broken
from tests.integration.undoing import Person, check


@pytest.fixture
def person(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Person]:
    """Give a pipeline with somebody who undoes events; no handler is told to fail."""
    broken.clear()
    yield Person(mongo, database.name)
    broken.clear()


STORY = (
    fact("e1", 1, owner="ann", points=5, status="open"),
    fact("e2", 2, owner="bob"),
    fact("e3", 3, points=50, status="done"),
    fact("e4", 4, add=1),
    fact("f1", 1, entity_id="T2", owner="bob", points=2),
    fact("p1", 1, type="page.viewed", page="home"),
    fact("p2", 2, type="page.viewed", page="home", views=7),
    fact("l1", 1, type="label.set", tags=["a"]),
)


@pytest.mark.parametrize("undone", STORY, ids=lambda event: event.event_id)
def test_every_table_is_as_if_the_event_had_never_come(person: Person, undone: Event) -> None:
    """First, in between, last, alone in its document; folds, observers, commutative actions."""
    person.process(*STORY)
    assert person.undo(undone).done
    check(person, STORY)
    assert person.store.records.batches.idle()


@pytest.mark.parametrize("undone", STORY, ids=lambda event: event.event_id)
def test_undoing_the_undo_brings_it_back(person: Person, undone: Event) -> None:
    """As a late event comes."""
    person.process(*STORY)
    before = person.domain()
    person.undo(undone)
    redone = person.redo(undone)
    assert redone.done
    assert person.domain() == before
    check(person, STORY)


def test_events_undone_one_by_one_leave_nothing(person: Person) -> None:
    """In any order; and back again."""
    person.process(*STORY)
    before = person.domain()
    for event in (STORY[2], STORY[0], STORY[6], STORY[4], STORY[1], STORY[5], STORY[7], STORY[3]):
        person.undo(event)
        check(person, STORY)
    assert not any(person.domain().values())
    for event in reversed(STORY):
        person.redo(event)
        check(person, STORY)
    assert person.domain() == before


def test_a_dry_run_tells_the_same_and_changes_nothing(person: Person) -> None:
    """It is the same transaction, given up."""
    person.process(*STORY)
    before = person.everything()
    tried = person.rehearse(STORY[1])
    assert person.everything() == before
    done = person.undo(STORY[1])
    assert as_json(tried) == as_json(done)


def test_the_report_tells_fields_rows_and_contributions(person: Person) -> None:
    """Ann has the points back that were Bob's."""
    person.process(*STORY[:4])
    told = as_json(person.rehearse(STORY[1]))
    changed = {(one["table"], one["id"]): one for one in told["documents"]}
    assert changed["tickets", "acme:T1"]["fields"] == {"owner": {"before": "bob", "after": "ann"}}
    assert changed["owner_totals", "acme:bob"]["removed"]
    assert changed["owner_totals", "acme:ann"]["fields"]["points"] == {"before": 5, "after": 51}
    assert told["rows"] == [
        {"table": "tickets_changes", "key": "acme:T1", "removed": 1, "rewritten": 2}
    ]
    assert {(one["event"], one["handler"]) for one in told["contributions"]} >= {
        ("e2@acme/desk", "owners.count"),
        ("e3@acme/desk", "owners.count"),
    }


def test_undoing_twice_and_redoing_twice_is_harmless(person: Person) -> None:
    """The second time says that nothing was to be done."""
    person.process(*STORY)
    assert not person.redo(STORY[1]).done
    assert person.undo(STORY[1]).done
    after = person.everything()
    assert not person.undo(STORY[1]).done
    assert not person.rehearse(STORY[1]).done
    assert person.everything() == after
    assert person.redo(STORY[1]).done
    assert not person.redo(STORY[1]).done
    check(person, STORY)


def test_an_event_that_is_not_stored_can_not_be_undone(person: Person) -> None:
    """And one that several tenants have has to be named by its key."""
    with pytest.raises(NotFound, match="no event 'e9'"):
        key_of(person.store, "e9")
    with pytest.raises(NotFound, match="no event"):
        person.undo(fact("e9"))
    with pytest.raises(NotFound, match="no event"):
        person.undoing.redo("e9@acme/desk")
    person.process(fact("e1"), fact("e1", tenant="beta"))
    with pytest.raises(NotFound, match="e1@acme/desk, e1@beta/desk"):
        key_of(person.store, "e1")
    assert key_of(person.store, "e1@beta/desk") == "e1@beta/desk"


def test_a_trace_shows_who_took_the_event_back_and_why(person: Person) -> None:
    """The event stays stored."""
    person.process(*STORY)
    person.undo(STORY[1], "sent by mistake")
    (found,) = trace(person.store, person.registry, "e2")
    assert found.record.voided is not None
    assert (found.record.voided.by, found.record.voided.reason) == ("ann", "sent by mistake")
    (top,) = found.steps
    assert {top.state, *(step.state for step in top.steps)} == {"voided"}


def test_a_copy_of_an_undone_event_stays_undone(person: Person) -> None:
    """The same key is the same fact."""
    person.process(*STORY)
    person.undo(STORY[1])
    assert person.process(STORY[1]).duplicates == [STORY[1].key]
    check(person, STORY)


def test_a_late_event_does_not_bring_an_undone_one_back(person: Person) -> None:
    """Refolds go by temporal rows, and it has none."""
    person.process(*STORY)
    person.undo(STORY[1])
    late = fact("e0", 0, status="waiting", add=3)
    person.process(late)
    check(person, [*STORY, late])


def test_an_event_that_had_not_been_run_is_not_run_after_its_undo(person: Person) -> None:
    """Its batch finds all settled, whether of the action or of what follows."""
    person.process(STORY[0])
    person.submit(*STORY[1:4])
    person.undo(STORY[1])
    person.run(person.waiting.popleft())
    person.undo(STORY[2])
    person.drain()
    check(person, STORY[:4])
    assert person.store.records.batches.idle()
    person.redo(STORY[1])
    person.redo(STORY[2])
    check(person, STORY[:4])


@pytest.mark.parametrize("tries", [0, 1, 2])
def test_an_event_in_trouble_can_be_undone(person: Person, tries: int) -> None:
    """Retrying, or a dead letter: it is none any more, and nobody tries it again."""
    broken.add(("tickets.apply", "e2"))
    person.process(*STORY)
    for _ in range(tries):
        person.retry()
    person.undo(STORY[1])
    broken.clear()
    assert person.store.records.ledger.in_trouble() == {}
    assert person.store.records.batches.idle()
    assert len(person.lanes.taken_off) == 1
    check(person, STORY)
    person.redo(STORY[1])
    assert person.states(STORY[1])["tickets.apply"] == "done"
    check(person, STORY)


def test_an_event_that_can_not_be_applied_without_it_falls_with_it(person: Person) -> None:
    """As if the other had never come; and it comes back with it."""
    opened = fact("e1", 1, status="open", owner="ann")
    needs = fact("e2", 2, needs="open", status="done", points=7)
    after = fact("e3", 3, add=1)
    person.process(opened, needs, after)
    undone = person.undo(opened)
    (fallen,) = undone.fallen
    assert (fallen.event, fallen.handler, fallen.state) == (needs.key, "tickets.apply", "retrying")
    assert "not open" in fallen.error
    person.retry()
    person.retry()
    assert person.states(needs)["tickets.apply"] == "dead"
    assert set(person.states(needs).values()) == {"dead", "waiting"}
    check(person, [opened, needs, after])
    assert person.redo(opened).requeued == 1
    person.retry()
    assert set(person.states(needs).values()) == {"done"}
    check(person, [opened, needs, after])


def test_an_observer_that_fails_while_an_undo_heals_is_tried_again(person: Person) -> None:
    """The undo goes through."""
    person.process(*STORY[:4])
    broken.add(("owners.count", "e3"))
    person.undo(STORY[1])
    assert person.states(STORY[2])["owners.count"] == "retrying"
    broken.clear()
    person.retry()
    check(person, STORY[:4])


def test_what_a_person_discarded_stays_discarded(person: Person) -> None:
    """Also after the undo of the undo."""
    broken.add(("owners.count", "e2"))
    person.process(*STORY[:4])
    person.retry()
    person.retry()
    row = person.row(STORY[1], "owners.count")
    person.store.records.ledger.put([row.discard("of no use", person.clock.now())])
    person.store.records.batches.close([row.job])
    broken.clear()
    person.undo(STORY[1])
    assert person.row(STORY[1], "owners.count").discarded
    person.redo(STORY[1])
    assert person.row(STORY[1], "owners.count").discarded
    assert person.states(STORY[1])["tickets.apply"] == "done"


def test_an_effect_of_a_handler_that_is_not_loaded_keeps_the_event(person: Person) -> None:
    """It could not be recomputed; the sentence says which module to name."""
    person.process(*STORY)
    without = [handler for handler in ALL if handler.name != "statuses.count"]
    other = Person(person.store.database.client, person.store.database.name, handlers=without)
    before = person.everything()
    with pytest.raises(UnknownHandler, match=r"statuses\.count.*PIPELINE_HANDLERS"):
        other.undo(STORY[2])
    assert person.everything() == before


def test_an_undo_that_would_change_too_many_rows_is_refused(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction holds only so much; nothing has changed."""
    monkeypatch.setattr(folding, "MOST_ROWS", 20)
    events = [fact(f"e{n}", n, add=1) for n in range(30)]
    person.process(*events)
    before = person.everything()
    with pytest.raises(RefoldTooLarge, match="more than 20 later rows"):
        person.undo(events[2])
    assert person.everything() == before
    assert person.undo(events[12]).done
    check(person, events)


def test_an_undo_that_would_fell_too_many_events_is_refused(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What falls counts as what is rewritten; where it is not too much, all of it falls."""
    monkeypatch.setattr(folding, "MOST_ROWS", 10)
    long, short = (
        [
            fact(f"{entity}-0", 0, entity_id=entity, status="open"),
            *(fact(f"{entity}-{n}", n, entity_id=entity, needs="open") for n in range(1, length)),
        ]
        for entity, length in (("T1", 11), ("T2", 10))
    )
    events = [*long, *short]
    person.process(*events)
    before = person.everything()
    with pytest.raises(RefoldTooLarge, match="more than 10 later rows"):
        person.undo(long[0])
    assert person.everything() == before
    undone = person.undo(short[0])
    assert {one.event for one in undone.fallen} == {event.key for event in short[1:]}
    assert {person.states(event)["tickets.apply"] for event in short[1:]} == {"retrying"}
    person.retry()
    person.retry()
    check(person, events)
    assert person.redo(short[0]).requeued == 9
    check(person, events)


@pytest.mark.parametrize("table", ["tickets", "tickets_changes"])
def test_what_is_damaged_is_not_undone(person: Person, table: str) -> None:
    """The sentence says how to put it right first."""
    person.process(*STORY)
    key = {"tickets": "_id", "tickets_changes": "key"}[table]
    person.store.database[table].delete_many({key: "acme:T1"})
    before = person.everything()
    with pytest.raises(HandlerFault, match=r"is gone.*pipeline verify --id 'acme:T1'"):
        person.undo(STORY[1])
    assert person.everything() == before


@pytest.mark.parametrize("undone", STORY[:5], ids=lambda event: event.event_id)
def test_a_verification_finds_nothing_wrong(person: Person, undone: Event) -> None:
    """After an undo, after an event has fallen with it, and after both have come back."""
    needs = fact("e5", 5, needs="done", owner="cid")
    person.process(*STORY, needs)
    person.undo(undone)
    assert findings(person) == []
    person.retry()
    person.redo(undone)
    person.retry()
    assert findings(person) == []
    check(person, [*STORY, needs])


def findings(person: Person) -> list[Finding]:
    """What is wrong with the tickets, and all that is derived from them."""
    now = person.clock.now()
    return [
        found
        for entity in ("T1", "T2")
        for found in verify_entity(person.store, person.registry, "acme", entity, now).findings
    ]
