"""Whatever is submitted, undone and redone, and whatever fails: the end is a sequential run's."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import Change, Event, Update, inc, observer
from pipeline.store import LedgerState, Where
from pipeline.store.batches import Batch
from tests.facts import Document, fact
from tests.integration.sample_handlers import ALL, Ticket, broken, count_status
from tests.integration.undoing import Person, check

MOST_RETRIES = 20


@observer("deep.count", after=count_status, table="deep", key="{tenant}")
def count_deep(_change: Change[Ticket], _event: Event) -> Update:
    """One more for every change; an observer of an observer of an observer."""
    return inc(seen=1)


HANDLERS = (*ALL, count_deep)


@pytest.fixture(autouse=True)
def _nothing_broken() -> Iterator[None]:
    """No handler is told to fail before a test, or after it."""
    broken.clear()
    yield
    broken.clear()


def events_of(draw: st.DataObject) -> list[Event]:
    """Few tickets, few moments; some pages, which only add up."""
    said = st.fixed_dictionaries(
        {"minute": st.integers(0, 4), "add": st.integers(-1, 2)},
        optional={
            "status": st.sampled_from(("open", "done")),
            "owner": st.sampled_from(("ann", "bob")),
            "entity_id": st.just("T2"),
        },
    )
    viewed = st.fixed_dictionaries(
        {"minute": st.integers(0, 4), "page": st.sampled_from(("home", "shop"))},
        optional={"type": st.just("page.ignored")},
    ).map(lambda page: {"type": "page.viewed"} | page)
    told = draw.draw(st.lists(st.one_of(said, said, viewed), min_size=2, max_size=7))
    return [fact(f"e{n}", **one) for n, one in enumerate(told)]


def requeue_all(person: Person) -> int:
    """Put every dead letter back to work, as a person who has mended the cause does."""
    records = person.store.records
    dead = records.trouble.rows(LedgerState.DEAD, Where(), limit=1000)
    lanes = {handler.name: handler.lane for handler in person.registry}
    records.ledger.put(row._replace(state=LedgerState.RETRYING) for row in dead)
    person.waiting.extend(
        batches := [Batch.of(row.handler, [row.event], lanes[row.handler]) for row in dead]
    )
    now = person.clock.now()
    records.batches.requeue(batches, created_at=now, due_at=now)
    return len(dead)


def settle(person: Person, dice: random.Random) -> None:
    """Mend everything, and work until nothing is left to be done."""
    broken.clear()
    person.drain(dice)
    for _ in range(MOST_RETRIES):
        if not person.retry() and not requeue_all(person):
            return
        person.drain(dice)
    raise AssertionError("something is still tried again")


def chained(person: Person) -> None:
    """Every temporal row ends where the next begins, and begins with what the one before left."""
    for table in ("tickets_changes", "labels_changes"):
        rows: dict[str, list[Any]] = {}
        for row in person.store.database[table].find().sort("_id"):
            rows.setdefault(row["key"], []).append(row)
        for chain in rows.values():
            for one, other in zip(chain, [*chain[1:], None], strict=True):
                assert one["valid_to"] == (other and other["valid_from"])
                if other:
                    assert other["prev"] == one["_id"].removeprefix(f"{one['key']}|")
                    assert {**other["state"], **other["changed"]} == one["state"]
            assert (chain[0]["prev"], chain[0]["changed"]) == (None, None)


def walk(person: Person, events: Sequence[Event], dice: random.Random, steps: int) -> list[Event]:
    """Do anything, in any order; returns what was submitted."""
    waiting, sent = list(events), []
    names = [handler.name for handler in HANDLERS if handler is not count_deep]
    dice.shuffle(waiting)
    for _ in range(steps):
        step = dice.choice(("submit", "submit", "again", "run", "retry", "undo", "redo", "break"))
        if step == "submit" and waiting:
            part = [waiting.pop() for _ in range(min(len(waiting), dice.choice((1, 1, 2, 3))))]
            person.submit(*part)
            sent += part
        elif step == "again" and sent:
            person.submit(dice.choice(sent))
        elif step == "run" and person.waiting:
            person.waiting.rotate(dice.randrange(len(person.waiting)))
            person.run(person.waiting.popleft())
        elif step == "retry":
            person.retry()
        elif step == "undo" and sent:
            event = dice.choice(sent)
            tried = person.rehearse(event)
            assert person.undo(event).done == tried.done
        elif step == "redo" and sent:
            person.undoing.redo(dice.choice(sent).key)
        elif step == "break":
            broken.clear()
            if dice.random() < 0.7:
                broken.add((dice.choice(names), dice.choice(events).event_id))
        chained(person)
    return sent


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(draw=st.data())
def test_any_walk_ends_as_a_sequential_run_of_what_is_not_undone(
    mongo: MongoClient[Document], database: Database[Document], draw: st.DataObject
) -> None:
    """Late, tied, copied, undone, redone, failing in any handler at any time."""
    events = events_of(draw)
    dice = random.Random(draw.draw(st.integers(0, 2**32)))
    steps = draw.draw(st.integers(5, 40))
    person = Person(mongo, database.name, handlers=HANDLERS, batch_size=dice.choice([1, 2, 500]))
    try:
        sent = walk(person, events, dice, steps)
        settle(person, dice)
        chained(person)
        check(person, sent)
        assert person.store.records.ledger.in_trouble() == {}
    finally:
        broken.clear()
        mongo.drop_database(database.name)
