"""An undo while a worker runs the event: whoever commits first, the end is the same."""

from collections.abc import Iterator

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.event import Event
from pipeline.executor import Executor
from pipeline.executor.steps import Hooks, Step
from tests.facts import Document, fact
from tests.integration.harness import APART, BOTH_WAYS
from tests.integration.sample_handlers import broken
from tests.integration.undoing import Person, check

STORY = (
    fact("e1", 1, owner="ann", status="open", points=3),
    fact("e2", 2, owner="bob", status="done"),
    fact("e3", 3, points=7),
    fact("p1", 1, type="page.viewed", page="home"),
)
BEFORE_WRITING = (Step.TAKEN, Step.LOADED, Step.BEGUN, Step.PLANNED, Step.COMMITTED)


@pytest.fixture
def person(
    mongo: MongoClient[Document], database: Database[Document], take_along: int
) -> Iterator[Person]:
    """Give a pipeline with somebody who undoes events; no handler is told to fail."""
    broken.clear()
    yield Person(mongo, database.name, take_along=take_along)
    broken.clear()


def interrupted(person: Person, at: Step, event: Event, *, redo: bool = False) -> Executor:
    """A worker in whose run the event is undone, or comes again, once it has come so far."""
    told = []

    def passing(step: Step) -> None:
        if step is at and not told:
            told.append(step)
            if redo:
                person.undoing.redo(event.key)
            else:
                person.undo(event)

    return Executor(
        person.store,
        person.registry,
        person.clock,
        person.settings,
        worker="worker-2",
        hooks=Hooks(passing),
        along=person.settings.take_along,
    )


@BOTH_WAYS
@pytest.mark.parametrize("at", BEFORE_WRITING)
@pytest.mark.parametrize("undone", STORY, ids=lambda event: event.event_id)
def test_an_undo_in_the_middle_of_any_run_is_an_undo(
    person: Person, at: Step, undone: Event
) -> None:
    """Of the action, of sibling observers, and of what is below them."""
    person.submit(*STORY)
    while person.waiting:
        batch = person.waiting.popleft()
        if undone.key in batch.events:
            person.run(batch, executor=interrupted(person, at, undone))
            person.drain()
            check(person, STORY)
            person.redo(undone)
            check(person, STORY)
        else:
            person.run(batch)
    check(person, STORY)
    assert person.store.records.batches.idle()


@APART
@pytest.mark.parametrize("at", BEFORE_WRITING)
@pytest.mark.parametrize("depth", [1, 2])
def test_an_undo_while_followers_run_is_an_undo(person: Person, at: Step, depth: int) -> None:
    """They have read the change, which is gone when they write."""
    person.submit(*STORY[:3])
    for _ in range(depth):
        person.run(person.waiting.popleft())
    batch = person.waiting.popleft()
    person.run(batch, executor=interrupted(person, at, STORY[1]))
    person.drain()
    check(person, STORY[:3])
    assert person.voided(STORY) == {STORY[1].key}


@pytest.mark.parametrize("at", BEFORE_WRITING)
def test_an_event_that_comes_again_while_a_late_one_is_healed_counts(
    person: Person, at: Step
) -> None:
    """Both are late for the same document."""
    person.process(*STORY)
    person.undo(STORY[1])
    late = fact("late", 1.5, owner="cid", add=1)
    person.submit(late)
    batch = person.waiting.popleft()
    person.run(batch, executor=interrupted(person, at, STORY[1], redo=True))
    person.drain()
    check(person, [*STORY, late])
    assert person.voided(STORY) == set()


def test_what_waits_does_not_count_where_what_it_follows_falls_meanwhile(person: Person) -> None:
    """Its row says `waiting` before and after, and still the two transactions meet."""
    one, two = fact("e1", 1, status="open"), fact("e2", 2, needs="open", owner="ann")
    person.process(one, two)
    person.undo(two)
    person.undoing.redo(two.key)
    person.run(person.waiting.popleft())
    (observers,) = person.waiting
    person.waiting.clear()
    planned: list[Step] = []

    def passing(step: Step) -> None:
        planned.extend([step] if step is Step.PLANNED else [])
        if step is Step.PLANNED and len(planned) == 2:  # the first try has not looked
            person.undo(one)

    worker = Executor(
        person.store,
        person.registry,
        person.clock,
        person.settings,
        worker="worker-2",
        hooks=Hooks(passing),
    )
    person.run(observers, executor=worker)
    assert len(planned) > 2
    while person.retry():
        pass
    check(person, [one, two])
