"""What verification and undo make of folds whose events are numbered, and wait for each other."""

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.executor import Executor
from pipeline.lateness import costs, find
from tests.facts import Document, fact
from tests.integration import numbered_handlers
from tests.integration.harness import Harness
from tests.integration.test_hold_back import APPLY, step
from tests.integration.undoing import Person
from tests.integration.verifying import Verifying

GRACE_MS = 30_000


def patient(harness: Harness) -> Executor:
    """An executor under which every event may wait."""
    return Executor(
        harness.store,
        harness.registry,
        harness.clock,
        harness.settings,
        worker="worker-1",
        grace=lambda _handler, _tenant: GRACE_MS,
        along=harness.settings.take_along,
    )


@pytest.fixture
def person(mongo: MongoClient[Document], database: Database[Document]) -> Person:
    """Give a pipeline with somebody who undoes events."""
    person = Person(mongo, database.name, handlers=numbered_handlers.ALL)
    person.executor = patient(person)
    return person


def test_verification_finds_nothing_wrong_with_the_numbers_a_document_has_seen(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """Gaps, late events and events in order; the ranges are no part of what is recalculated."""
    verifying = Verifying(mongo, database.name, handlers=numbered_handlers.ALL)
    for seq in (0, 3, 1, 4):
        verifying.process(step(seq))
    assert verifying.verify() == []
    assert verifying.document("steps", "acme:T1")["_sync"]["numbers"] == [
        ["desk", 0, 1],
        ["desk", 3, 4],
    ]


def test_a_number_that_was_undone_has_been_seen_all_the_same(person: Person) -> None:
    """The event after it has not lost its predecessor: that was taken back on purpose."""
    person.process(step(0), step(1), step(2))
    assert person.undo(step(1)).done
    person.process(step(3))
    assert person.document("steps", "acme:T1")["seqs"] == [0, 2, 3]
    assert find(person.store).findings == []


def test_an_event_that_waits_can_be_undone_and_come_again(person: Person) -> None:
    """It waits no more, its predecessor does not let it go, and no cost is counted for it."""
    person.process(step(0), step(2))
    assert person.states(step(2)) == {APPLY: "held"}
    assert person.undo(step(2)).done
    person.process(step(1))
    assert person.document("steps", "acme:T1")["seqs"] == [0, 1]
    assert costs(person.store) == []
    person.redo(step(2))
    assert person.document("steps", "acme:T1")["seqs"] == [0, 1, 2]
    assert person.store.records.batches.idle()


def test_a_number_has_been_seen_though_its_document_went_with_it(person: Person) -> None:
    """The note on the event tells it: the next one is neither held back nor marked."""
    person.process(step(0), step(1))
    person.undo(step(0))
    person.undo(step(1))
    person.process(step(2))
    assert person.states(step(2)) == {APPLY: "done", "steps.count": "done"}
    assert person.document("steps", "acme:T1")["_sync"]["numbers"] == [["desk", 0, 2]]
    assert find(person.store).findings == []


def test_a_number_that_was_undone_is_that_of_its_own_document_and_fold(person: Person) -> None:
    """Another entity's event, and one of another fold, still waits for its predecessor."""
    others = step(0), fact("n0", 0, type="note.x", entity_id="T2", seq=0)
    person.process(*others)
    for event in others:
        person.undo(event)
    waiting = fact("s1", 1, type="step.x", entity_id="T2", seq=1)
    person.process(waiting)
    assert person.states(waiting) == {APPLY: "held"}
