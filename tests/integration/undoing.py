"""The harness with a person who undoes events, and what is expected of it."""

from collections.abc import Iterator, Sequence
from typing import Any

from pymongo import MongoClient

from pipeline.declarations import RESERVED_TABLES
from pipeline.event import Event
from pipeline.replay import Tables, audit, compare, replay
from pipeline.store import Batch, Store
from pipeline.undo import Redone, Undoing, Undone
from tests.facts import Document
from tests.integration.harness import Harness


class Lanes:
    """Stands for the queue: what is put back waits in the harness."""

    def __init__(self, harness: Harness) -> None:
        self._waiting = harness.waiting
        self.taken_off: list[str] = []

    def put_back(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Let batches wait."""
        self._waiting.extend(batches)
        return batches

    def take_off(self, batches: Sequence[str]) -> bool:
        """Note which batches nobody is to look at any more."""
        self.taken_off += batches
        return True


class Person(Harness):
    """Store, executor, and somebody who takes events back."""

    def __init__(self, client: MongoClient[Document], name: str, **options: Any) -> None:
        super().__init__(client, name, **options)
        self.lanes = Lanes(self)
        self.undoing = Undoing(self.store, self.registry, self.lanes, self.clock, self.settings)

    def undo(self, event: Event, reason: str = "a test") -> Undone:
        """Take an event back."""
        return self.undoing.undo(event.key, by="ann", reason=reason)

    def rehearse(self, event: Event) -> Undone:
        """Try what that would do."""
        return self.undoing.rehearse(event.key)

    def redo(self, event: Event) -> Redone:
        """Let it come again, and run what waits."""
        redone = self.undoing.redo(event.key)
        self.drain()
        return redone

    def voided(self, events: Sequence[Event]) -> set[str]:
        """Which of these are undone, by key."""
        found = self.store.records.events.load([event.key for event in events])
        return {key for key, record in found.items() if record.voided is not None}


def ledger(store: Store) -> Iterator[tuple[str, str, str]]:
    """Event, handler and state of every row."""
    for row in store.records.ledger.scan():
        yield row.event, row.handler, row.state.value


def check(harness: Person, arrivals: Sequence[Event]) -> Tables:
    """Tables and ledger are those of a sequential run without the events that are undone."""
    voided = harness.voided(arrivals)
    expected = replay(harness.registry, [e for e in arrivals if e.key not in voided])
    database = harness.store.database
    names = set(database.list_collection_names()) - RESERVED_TABLES
    found = compare(expected, {name: database[name].find() for name in sorted(names)})
    assert found.equal, f"\n{found}"
    rows = audit(harness.registry, arrivals, ledger(harness.store), expected.failures, voided)
    assert rows.clean, f"\n{rows}"
    return expected
