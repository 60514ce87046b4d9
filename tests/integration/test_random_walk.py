"""Whatever is submitted, undone and redone, and whatever fails: the end is a sequential run's."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import AutoReconnect

from pipeline import Change, Event, Update, inc, observer
from pipeline.replay import Difference
from pipeline.store import LedgerState, Where
from pipeline.store.batches import Batch
from pipeline.verification import Verifier
from tests.databases import empty
from tests.facts import Document, fact
from tests.integration.sample_handlers import ALL, Ticket, broken, count_status
from tests.integration.undoing import Person, check
from tests.integration.verifying import plant, verify

pytestmark = pytest.mark.uncounted

MOST_RETRIES = 20
STEPS = (
    *("submit", "submit", "submit", "submit_again", "run", "run", "run", "retry"),
    *("undo", "undo", "redo", "break_one", "verify", "replay", "lose_an_answer"),
)


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


class Walk:
    """What may happen, in any order, to some events.

    Attributes:
        sent: what was submitted.
    """

    def __init__(self, person: Person, events: Sequence[Event], dice: random.Random) -> None:
        self.sent: list[Event] = []
        self._person = person
        self._events = events
        self._waiting = dice.sample(list(events), len(events))
        self._dice = dice
        self._verifier = Verifier(
            person.store, person.registry, person.clock, person.settings, worker="verifier"
        )

    def step(self) -> None:
        """Let something happen."""
        getattr(self, self._dice.choice(STEPS))()
        chained(self._person)

    def submit(self) -> None:
        """Events come, in no order."""
        size = min(len(self._waiting), self._dice.choice((1, 1, 2, 3)))
        part = [self._waiting.pop() for _ in range(size)]
        self._person.submit(*part)
        self.sent += part

    def submit_again(self) -> None:
        """An event comes again."""
        if self.sent:
            self._person.submit(self._dice.choice(self.sent))

    def run(self) -> None:
        """A batch is run."""
        waiting = self._person.waiting
        if waiting:
            waiting.rotate(self._dice.randrange(len(waiting)))
            self._person.run(waiting.popleft())

    def retry(self) -> None:
        """What failed is tried again."""
        self._person.retry()

    def undo(self) -> None:
        """An event is taken back, as it was rehearsed."""
        if self.sent:
            event = self._dice.choice(self.sent)
            tried = self._person.rehearse(event)
            assert self._person.undo(event).done == tried.done

    def redo(self) -> None:
        """It comes back."""
        if self.sent:
            self._person.undoing.redo(self._dice.choice(self.sent).key)

    def break_one(self) -> None:
        """A handler fails on an event from now on, or nothing does any more."""
        broken.clear()
        if self._dice.random() < 0.7:
            names = [handler.name for handler in HANDLERS if handler is not count_deep]
            broken.add((self._dice.choice(names), self._dice.choice(self._events).event_id))

    def verify(self) -> None:
        """Everything is held against its events, whatever still waits or fails."""
        found = verify(self._person, self._verifier)
        assert not [one for one in found if isinstance(one, Difference)]

    def replay(self) -> None:
        """A document is changed or removed by hand, and a replay puts it right."""
        broken.clear()
        plant(self._person, self._dice.randrange(2**32), 1)
        # What waits after a failure may be done with it: nothing is broken any more.
        verify(self._person, self._verifier, repairs=True)
        self.verify()

    def lose_an_answer(self) -> None:
        """The next transaction is committed, and nobody hears of it: it is tried again."""
        store = self._person.store
        once = store._once  # noqa: SLF001 - all transactions pass here

        def committed(work: Any, **options: Any) -> Any:
            vars(store)["_once"] = once
            once(work, **options)
            raise AutoReconnect("the answer was lost")

        vars(store)["_once"] = committed


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
        walk = Walk(person, events, dice)
        for _ in range(steps):
            walk.step()
        settle(person, dice)
        chained(person)
        check(person, walk.sent)
        walk.verify()
        assert person.store.records.ledger.in_trouble() == {}
    finally:
        broken.clear()
        empty(database)
