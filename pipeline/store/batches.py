"""`batches`: what is to be done and what was run, one document a handler and batch of events.

A batch is added in the transaction that makes its events durable (or that ran the handler
before it), and marked done in the transaction that applies it. So what is pending is just
what stands here undone: it is the outbox from which Redis can be rebuilt. A done batch
stays, small, as the record of the run that its ledger rows refer to. Its id follows from
its content: the same work twice is the same document and the same RQ job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database

from pipeline.event import EARLIEST

INDEXES: Final = {
    # Prevents a scan of all that was ever run at each pass of the sweeper. Done batches and
    # dead letters have no due_at and are not in it.
    "batches": [IndexModel([("due_at", ASCENDING)], sparse=True)],
}


@dataclass(frozen=True, slots=True)
class Batch:
    """A handler and the events it is to be run on.

    Attributes:
        id: follows from handler and events; also the id of the RQ job.
        handler: the handler's name; those of sibling observers are joined by `+`, since they
            share what they read and so a transaction.
        events: event keys.
        lane: the RQ queue.
        attempt: how often these events failed in this handler already.
    """

    id: str
    handler: str
    events: tuple[str, ...]
    lane: str
    attempt: int = 0

    @classmethod
    def of(cls, handler: str, events: Sequence[str], lane: str, attempt: int = 0) -> Self:
        """The batch of this content."""
        return cls(batch_id(handler, events), handler, tuple(events), lane, attempt)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Who ran a batch, and when it began to read."""

    worker: str
    read_at: datetime


def batch_id(handler: str, events: Iterable[str]) -> str:
    """An id that RQ accepts, the same for the same handler and events in the same order."""
    content = "\n".join((handler, *events)).encode()
    return hashlib.blake2b(content, digest_size=10).hexdigest()


class Batches:
    """The batches, within one transaction or none."""

    def __init__(self, database: Database[dict[str, Any]], session: ClientSession | None) -> None:
        self._batches = database["batches"]
        self._session = session

    def add(
        self, batches: Iterable[Batch], *, created_at: datetime, due_at: datetime | None
    ) -> None:
        """Record work to be done.

        Matches by id. Absent or done, the batch becomes pending; pending, it stays as it is.
        `due_at` is when the sweeper looks at it; None keeps a dead letter, which only a
        person puts back to work.
        """
        when = {} if due_at is None else {"due_at": due_at}
        writes = []
        for batch in batches:
            pending = {
                "_id": batch.id,
                "handler": batch.handler,
                "events": list(batch.events),
                "lane": batch.lane,
                "attempt": batch.attempt,
                "created_at": created_at,
                "done": False,
                **when,
            }
            absent_or_done = {"$ne": ["$done", False]}
            kept = {"$cond": [absent_or_done, {"$literal": pending}, "$$ROOT"]}
            writes.append(UpdateOne({"_id": batch.id}, [{"$replaceWith": kept}], upsert=True))
        if writes:
            self._batches.bulk_write(writes, ordered=False, session=self._session)

    def claim(self, batch: str, run: RunRecord) -> int | None:
        """Mark the batch done by this run, and tell how often it failed; None if done already.

        Of two transactions that claim it at once, the second gets a write conflict, is run
        again, and then finds it done.
        """
        taken = self._batches.find_one_and_update(
            {"_id": batch, "done": False},
            {
                "$set": {"done": True, "worker": run.worker, "read_at": run.read_at},
                "$unset": {"due_at": "", "events": ""},
            },
            projection={"attempt": 1},
            session=self._session,
        )
        return None if taken is None else taken["attempt"]

    def due(self, now: datetime, limit: int) -> list[Batch]:
        """Pending batches whose time has come, the most overdue first."""
        cursor = self._batches.find({"due_at": {"$lte": now}}, session=self._session)
        return [_batch(doc) for doc in cursor.sort("due_at", ASCENDING).limit(limit)]

    def postpone(self, batches: Collection[str], due_at: datetime) -> None:
        """Look at these again later; those done meanwhile stay done."""
        self._batches.update_many(
            {"_id": {"$in": list(batches)}, "due_at": {"$exists": True}},
            {"$set": {"due_at": due_at}},
            session=self._session,
        )

    def runs(self, batches: Collection[str]) -> dict[str, RunRecord]:
        """Who ran these batches last, by id; those not yet run are absent."""
        found = self._batches.find(
            {"_id": {"$in": list(batches)}, "worker": {"$exists": True}},
            {"worker": 1, "read_at": 1},
            session=self._session,
        )
        return {doc["_id"]: RunRecord(doc["worker"], doc["read_at"]) for doc in found}

    def backlog(self) -> dict[str, tuple[int, int]]:
        """Batches and events still to be done, by handler; dead letters not counted."""
        groups = self._batches.aggregate(
            [
                {"$match": {"due_at": {"$gte": EARLIEST}}},
                {
                    "$group": {
                        "_id": "$handler",
                        "batches": {"$sum": 1},
                        "events": {"$sum": {"$size": "$events"}},
                    }
                },
            ],
            session=self._session,
        )
        return {row["_id"]: (row["batches"], row["events"]) for row in groups}

    def idle(self) -> bool:
        """Whether nothing is left to be done, dead letters aside."""
        left = self._batches.find_one({"due_at": {"$gte": EARLIEST}}, session=self._session)
        return left is None


def _batch(doc: dict[str, Any]) -> Batch:
    return Batch(doc["_id"], doc["handler"], tuple(doc["events"]), doc["lane"], doc["attempt"])
