"""What the peers with a queue share: they do the same five writes, and are asked the same way."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from pymongo import MongoClient

from benchmarks.measuring import Commits, Write
from benchmarks.peers import work
from benchmarks.peers.peer import Moments
from benchmarks.peers.place import Place
from benchmarks.peers.processes import PeerSlowError, Processes
from benchmarks.peers.work import DURABLE, EVENTS, TABLES, Document
from benchmarks.warming import ROUND, nobodys
from pipeline import Event
from pipeline.tables import CODEC

START_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05


class QueueSession(ABC):
    """A peer whose workers run, on a database of its own.

    Args:
        place: where.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._processes = Processes(place.folder / "logs")
        self._client = MongoClient[Document](place.where.mongo_url, **DURABLE)
        self._database = self._client.get_database(place.database, codec_options=CODEC)
        work.prepare(self._database)
        self._commits = self._commits_from_now()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End the workers, and forget what is left of them in Redis."""
        try:
            self._processes.stop()
            self.forget()
        finally:
            self._client.close()

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a worker.

        Args:
            name: its name, also of its log.
            command: program, by its path, and arguments.
        """
        self._processes.start(name, command, self.place.environment())

    @abstractmethod
    def forget(self) -> None:
        """Disconnect, and remove what is left in Redis; the workers have ended."""

    @abstractmethod
    def submit(self, events: Sequence[Event]) -> None:
        """Hand over many."""

    @abstractmethod
    def submit_one(self, event: Event) -> None:
        """Hand over one."""

    def done(self) -> int:
        """How many events are marked done."""
        return self._database[EVENTS].count_documents({"done_at": {"$exists": True}})

    def moments(self) -> Moments:
        """When a worker began with each event, and when its mark was committed."""
        found = self._database[EVENTS].find({}, {"begun_at": 1})
        return Moments({doc["_id"]: doc["begun_at"] for doc in found}, self._commits.last())

    def pids(self) -> Mapping[str, int]:
        """The workers' process ids."""
        return self._processes.pids()

    def tend(self) -> None:
        """See that the workers run."""
        self._processes.check()

    def warm_up(self, workers: int) -> None:
        """Send events of nobody's until every worker has done one, and forget them.

        Raises:
            PeerSlowError: they don't.
        """
        deadline, sent = time.monotonic() + START_SECONDS, 0
        while len(self._database[EVENTS].distinct("worker")) < workers or self.done() < sent:
            self.tend()
            if time.monotonic() > deadline:
                logs = self.place.folder / "logs"
                raise PeerSlowError(f"{sent} events were not done by {workers} workers; see {logs}")
            if self.done() == sent:
                self.submit([nobodys(sent + number) for number in range(ROUND)])
                sent += ROUND
            time.sleep(POLL_SECONDS)
        for table in TABLES:
            self._database[table].delete_many({})
        self._commits = self._commits_from_now()

    def _commits_from_now(self) -> Commits:
        return Commits(self._database, EVENTS, event_marked_done)


def event_marked_done(write: Write) -> str | None:
    """The event that an update of its document marks done."""
    if "done_at" not in write["o"].get("diff", {}).get("i", {}):
        return None
    event: str = write["o2"]["_id"]
    return event
