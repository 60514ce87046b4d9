"""The pipeline in one process on a real MongoDB: no Redis, batches wait in a deque.

`drain` runs all that waits, first come first served or in a seeded disorder. A clock that
stands still makes the moments of every run alike, so whole tables can be compared.
"""

import random
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from pymongo import MongoClient
from redis import Redis

from pipeline.clock import ManualClock, SystemClock
from pipeline.declarations import Handler
from pipeline.dispatch import Dispatcher, Receipt
from pipeline.event import Event
from pipeline.executor import Executor, Outcome
from pipeline.locks import Locks
from pipeline.queue import Heartbeats, JobQueue
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import Batch, LedgerRow, Store
from pipeline.store.ledger import row_id
from pipeline.sweeping import Sweeper
from tests.facts import Document
from tests.integration.sample_handlers import ALL

NOW: Final = datetime(2024, 6, 1, tzinfo=UTC)
LONGEST_BACKOFF: Final = timedelta(hours=1)

APART: Final = pytest.mark.parametrize("take_along", [0], ids=["apart"])
"""Observers are run in a transaction of their own, however few the events are."""
BOTH_WAYS: Final = pytest.mark.parametrize("take_along", [20, 0], ids=["along", "apart"])
"""Folds of few events take their observers along, or never do."""


class Harness:
    """Store, registry, dispatcher and executor, joined by a deque.

    Args:
        client: connected to a replica set.
        name: the database's name.
        handlers: what is loaded.
        settings: changes to the settings.
    """

    def __init__(
        self,
        client: MongoClient[Document],
        name: str,
        handlers: Iterable[Handler] = ALL,
        **settings: Any,
    ) -> None:
        self.clock = ManualClock(NOW)
        self.settings = Settings(_env_file=None, **({"max_attempts": 3} | settings))
        self.registry = Registry(handlers)
        self.store = Store(client, name)
        self.store.prepare(self.registry.tables(), self.registry.indexes())
        self.waiting: deque[Batch] = deque()
        self.dispatcher = Dispatcher(
            self.store, self.registry, self.clock, self.settings, self.waiting.extend
        )
        self.executor = self.executor_of("worker-1")

    def executor_of(self, worker: str) -> Executor:
        """An executor of its own, as every worker has."""
        return Executor(
            self.store,
            self.registry,
            self.clock,
            self.settings,
            worker=worker,
            along=self.settings.take_along,
        )

    def sweeper_of(
        self, redis: Redis, lanes: JobQueue | None = None, heartbeats: Heartbeats | None = None
    ) -> Sweeper:
        """A sweeper of the lanes of this Redis."""
        return Sweeper(
            self.store,
            self.registry,
            lanes or JobQueue(redis),
            heartbeats or Heartbeats(redis, 10),
            Locks(redis, SystemClock()),
            self.clock,
            self.settings,
        )

    def submit(self, *events: Event) -> Receipt:
        """Submit in one call."""
        return self.dispatcher.submit(events)

    def run(self, *batches: Batch, executor: Executor | None = None) -> Outcome:
        """Run batches together; what follows them waits."""
        outcome = (executor or self.executor).run(batches)
        self.waiting.extend(outcome.following)
        return outcome

    def drain(self, draw: random.Random | None = None) -> list[Outcome]:
        """Run all that waits and all that follows from it."""
        outcomes = []
        while self.waiting:
            if draw:
                self.waiting.rotate(draw.randrange(len(self.waiting)))
            outcomes.append(self.run(self.waiting.popleft()))
        return outcomes

    def retry(self) -> int:
        """Let the longest backoff pass and run what is due, as the sweeper would; how many."""
        self.clock.advance(LONGEST_BACKOFF)
        due = self.store.records.batches.due(self.clock.now(), 1000)
        self.waiting.extend(due)
        self.drain()
        return len(due)

    def process(self, *events: Event) -> Receipt:
        """Submit and drain."""
        receipt = self.submit(*events)
        self.drain()
        return receipt

    def row(self, event: Event, handler: str) -> LedgerRow:
        """The ledger row of an event and a handler."""
        key = row_id(event.key, handler)
        return self.store.records.ledger.rows([key])[key]

    def states(self, event: Event) -> dict[str, str]:
        """The state of an event in each handler that has attempted it."""
        return {r.handler: r.state.value for r in self.store.records.ledger.of_event(event.key)}

    def document(self, table: str, key: str) -> Document:
        """One document of a table."""
        return self.store.records.table(table).get([key])[key]

    def everything(self) -> dict[str, dict[str, Document]]:
        """Every collection of the database as it is."""
        return {
            name: {doc["_id"]: doc for doc in self.store.database[name].find()}
            for name in sorted(self.store.database.list_collection_names())
        }

    def domain(self, tables: Sequence[str] = ()) -> dict[str, dict[str, Document]]:
        """The domain's tables, temporal ones included, without what depends on the way there."""
        return {
            name: {doc["_id"]: _comparable(doc) for doc in self.store.database[name].find()}
            for name in tables or self.registry.tables()
        }


def _comparable(document: Document) -> Document:
    """Without the times of runs; a counter at zero is one that never was; sets have no order.

    The event time of a derived document is left out too: it is the time of the latest event
    that ever touched it, and a touch that was taken back was one.
    """
    sync = dict(document["_sync"])
    for name in ("read_at", "write_at"):
        sync.pop(name, None)
    if "contributions" in sync:
        sync.pop("event_at", None)
        document = _without_zeros(document)
    if "statuses" in document:
        document = document | {"statuses": sorted(document["statuses"])}
    return document | {"_sync": sync}


def _without_zeros(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _without_zeros(item) for name, item in value.items()}
    return {name: item for name, item in inner.items() if item not in (0, {})}
