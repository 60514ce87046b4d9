"""The limit: bare loops that write our product's documents, without any queue.

Nothing can be durable in this form faster than this, so this is what our throughput is held
against. Each process gets the events of some tenants: two that add to the same totals at once
would have to wait for each other.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final

from benchmarks.measuring import Commits
from benchmarks.peers import work
from benchmarks.peers.ledgered import HANDLERS, moments_by_ledger
from benchmarks.peers.limit_documents import APPLY
from benchmarks.peers.peer import Guarantees, Moments
from benchmarks.peers.piped import Piped
from benchmarks.peers.place import Place
from pipeline import Event
from pipeline.registry import load
from pipeline.store import Store, connect

AT_ONCE: Final = 500

GUARANTEES: Final = Guarantees(
    accepted="in the memory of the process that will write it",
    effects="all or nothing for each transaction; what a killed process had read is lost",
    order="as submitted, for each tenant",
    late="refused",
    traces="as our product's, since the documents are the same",
    wiped="nothing: there is no Redis",
)


@dataclass(frozen=True)
class Limit:
    """Bare PyMongo.

    Attributes:
        name: what it is called in results.
        setup: how it is run here.
        guarantees: what a user may rely on.
        least_per_second: events a second that it does at least, by which it is given fewer in bulk.
    """

    name: str = "limit"
    setup: str = (
        "bare PyMongo loops that write the documents our product writes, up to 500 events in "
        "one transaction, each process those of its own tenants; no queue"
    )
    guarantees: Guarantees = GUARANTEES
    least_per_second: float | None = None

    def missing(self) -> str | None:
        """Nothing: it needs what our product needs."""
        return None

    @contextmanager
    def running(self, place: Place, workers: int = 2) -> Iterator[LimitSession]:
        """Start so many loops."""
        registry = load(HANDLERS)
        with ExitStack() as stack:
            store = Store(connect(place.where.mongo_url), place.database)
            stack.callback(store.close)
            store.prepare(registry.tables(), registry.indexes())
            loops = []
            for number in range(1, workers + 1):
                log = place.folder / "logs" / f"{self.name}-{number}.log"
                command = [sys.executable, "-m", "benchmarks.peers.limit_worker"]
                loop = Piped(command, log, place.environment())
                stack.callback(loop.stop)
                loops.append(loop)
            for loop in loops:
                loop.answer()
            yield LimitSession(store, loops)


class LimitSession:
    """Loops that run.

    Args:
        store: where they write.
        loops: their processes.
    """

    def __init__(self, store: Store, loops: Sequence[Piped]) -> None:
        self._loops = loops
        self._shares = Shares(len(loops))
        self._store = store
        self._commits = Commits(store.database)

    def submit(self, events: Sequence[Event]) -> None:
        """Give each loop its tenants' events, 500 at a time, as fast as it reads."""
        shares = self._shares.of(events)
        with ThreadPoolExecutor(max_workers=len(self._loops)) as side_by_side:
            list(side_by_side.map(_feed, self._loops, shares))

    def submit_one(self, event: Event) -> None:
        """One transaction for the one event."""
        for loop, share in zip(self._loops, self._shares.of([event]), strict=True):
            _feed(loop, share)

    def done(self) -> int:
        """How many events the committed batches hold, by their ids.

        MongoDB's own count of documents has those in it that are not committed yet.
        """
        done = self._store.database["batches"].find({"handler": APPLY}, {"_id": 1})
        return sum(int(batch["_id"].split("-")[1]) for batch in done)

    def moments(self) -> Moments:
        """When each event was read and written."""
        return moments_by_ledger(self._store, self._commits)

    def pids(self) -> Mapping[str, int]:
        """The loops' process ids."""
        return {f"limit-{number}": loop.pid for number, loop in enumerate(self._loops, start=1)}

    def tend(self) -> None:
        """See that the loops run."""
        for loop in self._loops:
            loop.check()


class Shares:
    """Which of several processes a tenant's events go to; always the same one.

    Args:
        processes: how many there are.
    """

    def __init__(self, processes: int) -> None:
        self._load = [0] * processes
        self._of: dict[str, int] = {}
        self._deciding = Lock()

    def of(self, events: Sequence[Event]) -> list[list[Event]]:
        """The events by process, in their order; new tenants go where least has gone."""
        with self._deciding:
            for tenant, count in Counter(event.tenant for event in events).most_common():
                process = self._of.setdefault(tenant, self._load.index(min(self._load)))
                self._load[process] += count
        shares: list[list[Event]] = [[] for _ in self._load]
        for event in events:
            shares[self._of[event.tenant]].append(event)
        return shares


def _feed(loop: Piped, events: Sequence[Event]) -> None:
    for start in range(0, len(events), AT_ONCE):
        batch = events[start : start + AT_ONCE]
        loop.send(json.dumps([work.message(event) for event in batch]).encode())
