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
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple, Self

from pymongo import ASCENDING, IndexModel
from pymongo.client_session import ClientSession
from pymongo.database import Database

from pipeline.event import EARLIEST
from pipeline.store.commands import SCANNED, Outdated, insert, update

INDEXES: Final = {
    # Prevents a scan of all that was ever run at each pass of the sweeper. Done batches and
    # dead letters have no due_at and are not in it.
    "batches": [IndexModel([("due_at", ASCENDING)], sparse=True)],
}
MOST_OVERDUE: Final = 100
"""Overdue batches that are looked at for the oldest: where the sweeper sweeps there are few."""


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
        deaths: how many workers died while they ran it.
    """

    id: str
    handler: str
    events: tuple[str, ...]
    lane: str
    attempt: int = 0
    deaths: int = 0

    @classmethod
    def of(
        cls, handler: str, events: Sequence[str], lane: str, attempt: int = 0, deaths: int = 0
    ) -> Self:
        """The batch of this content."""
        return cls(batch_id(handler, events), handler, tuple(events), lane, attempt, deaths)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Who ran a batch, and when.

    Attributes:
        worker: who.
        read_at: when it began to read.
        locked_at: since when it held its ids; None where it took none.
        fence: under which it held them.
        written_at: when it had written all it had to write, before it committed.
    """

    worker: str
    read_at: datetime
    locked_at: datetime | None = None
    fence: int | None = None
    written_at: datetime | None = None

    def stored(self) -> dict[str, Any]:
        """The record as fields of the batch."""
        fields = asdict(self)
        return {name: value for name, value in fields.items() if value is not None}


class Overdue(NamedTuple):
    """Since when batches wait, by lane; and since when the most overdue one is, if one is."""

    since: dict[str, datetime]
    due_at: datetime | None


_LAST_RUN: Final = {field.name: f"${field.name}" for field in fields(RunRecord)}


def batch_id(handler: str, events: Sequence[str]) -> str:
    """An id that RQ accepts, the same for the same handler and events in the same order.

    `<handler's tag>-<number of events>-<digest>`: a worker sees from the ids that wait in a
    lane which of them it may take together.
    """
    content = "\n".join((handler, *events)).encode()
    digest = hashlib.blake2b(content, digest_size=10).hexdigest()
    return f"{handler_tag(handler)}-{len(events)}-{digest}"


@cache
def handler_tag(handler: str) -> str:
    """What the ids of all batches of a handler begin with."""
    return hashlib.blake2b(handler.encode(), digest_size=4).hexdigest()


class Batches:
    """The batches, within one transaction or none."""

    def __init__(self, database: Database[dict[str, Any]], session: ClientSession | None) -> None:
        self._batches = database["batches"]
        self._session = session

    def insert(self, batches: Sequence[Batch], *, created_at: datetime, due_at: datetime) -> None:
        """Record work that has never been recorded; one that has raises DuplicateKeyError."""
        insert(self._batches, [_pending(b, created_at, due_at) for b in batches], self._session)

    def add(
        self, batches: Iterable[tuple[Batch, datetime | None]], *, created_at: datetime
    ) -> None:
        """Record work to be done, each batch with its due time.

        Matches by id. Absent or done, the batch becomes pending; pending, it stays as it is.
        When it is due the sweeper looks at it; None keeps a dead letter, which only a person
        puts back to work.
        """
        update(self._batches, [_addition(b, created_at, due) for b, due in batches], self._session)

    def settle(
        self,
        claimed: Collection[str],
        run: RunRecord,
        following: Iterable[tuple[Batch, datetime | None]],
        *,
        along: Iterable[Batch] = (),
        created_at: datetime,
    ) -> None:
        """Claim batches for this run, which marks them done, and add what follows from them.

        Batches that were taken along are added as done by this run, whatever stood there.

        Of two transactions that claim one at once, the second gets a write conflict, is run
        again, and then finds it done. `following` is as in `add`, each with its due time; a
        batch that follows itself becomes pending again.

        Raises:
            Outdated: one of them was done already, or is gone.
        """
        claim = {
            "q": {"_id": {"$in": list(claimed)}, "done": False},
            "u": {
                "$set": {"done": True, **run.stored()},
                "$unset": {"due_at": "", "events": "", "deaths": ""},
            },
            "multi": True,
        }
        additions = [_addition(batch, created_at, due_at) for batch, due_at in following]
        additions += [_done(batch, created_at, run) for batch in along]
        matched = update(self._batches, [claim, *additions], self._session)
        if matched - len(additions) < len(claimed):
            raise Outdated("a batch to be claimed is done already, or gone")

    def pending(self, batches: Collection[str]) -> dict[str, Batch]:
        """Those of the batches that are not done, by id."""
        return {name: batch for name, (batch, _) in self.waiting(batches).items()}

    def waiting(self, batches: Collection[str]) -> dict[str, tuple[Batch, datetime | None]]:
        """Those that are not done, by id, and when they are due; dead letters never are."""
        found = self._batches.find(
            {"_id": {"$in": list(batches)}, "done": False}, session=self._session
        )
        return {doc["_id"]: (_batch(doc), doc.get("due_at")) for doc in found}

    def note_death(self, batch: str, due_at: datetime) -> None:
        """Count that a worker died while it ran the batch, unless it is done; due at once."""
        self._batches.update_one(
            {"_id": batch, "done": False},
            {"$inc": {"deaths": 1}, "$set": {"due_at": due_at}},
            session=self._session,
        )

    def due(self, now: datetime, limit: int) -> list[Batch]:
        """Pending batches whose time has come, the most overdue first."""
        cursor = self._batches.find({"due_at": {"$lte": now}}, session=self._session)
        return [_batch(doc) for doc in cursor.sort("due_at", ASCENDING).limit(limit)]

    def waiting_for(self, events: Collection[str]) -> list[tuple[str, str]]:
        """What a batch is for, and the event, of all that is still to be done with these events.

        Dead letters are not among it. Looks through all that is pending, which the gate at the
        intake bounds.
        """
        found = self._batches.find(
            {"due_at": {"$gte": EARLIEST}, "events": {"$in": list(events)}},
            {"handler": 1, "events": 1},
            session=self._session,
        )
        asked = set(events)
        return [(doc["handler"], e) for doc in found for e in asked.intersection(doc["events"])]

    def requeue(self, batches: Sequence[Batch], *, created_at: datetime, due_at: datetime) -> None:
        """Make batches pending with the attempts and deaths they are given with, and due.

        Matches by id, whatever the batch stands as; absent it is added. A run of it at the
        same time conflicts, and one of the two transactions is run again.
        """
        update(self._batches, [_renewal(b, created_at, due_at) for b in batches], self._session)

    def close(self, batches: Collection[str]) -> None:
        """Mark pending batches done without a run; who ran them last stays on record."""
        self._batches.update_many(
            {"_id": {"$in": list(batches)}, "done": False},
            {"$set": {"done": True}, "$unset": {"due_at": "", "events": "", "deaths": ""}},
            session=self._session,
        )

    def postpone(self, batches: Collection[str], due_at: datetime) -> None:
        """Look at these again later; those done meanwhile stay done."""
        self._batches.update_many(
            {"_id": {"$in": list(batches)}, "due_at": {"$exists": True}},
            {"$set": {"due_at": due_at}},
            session=self._session,
        )

    def runs(self, batches: Collection[str]) -> dict[str, RunRecord]:
        """Who ran these batches last, by id; those not yet run are absent."""
        return self._runs({"_id": {"$in": list(batches)}})

    def every_run(self) -> dict[str, RunRecord]:
        """Who ran each batch that was run, by id; a full pass, for verification."""
        return self._runs({"_id": {"$gt": ""}})

    def _runs(self, matching: dict[str, Any]) -> dict[str, RunRecord]:
        wanted = dict.fromkeys(_LAST_RUN, 1)
        found = self._batches.find(matching, wanted, session=self._session)
        return {
            doc.pop("_id"): RunRecord(**doc)
            for doc in found.sort("_id", ASCENDING).batch_size(SCANNED)
            if "worker" in doc
        }

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

    def count_pending(self, limit: int) -> int:
        """How many batches are still to be done, dead letters aside, counted up to a limit."""
        waiting = {"due_at": {"$gte": EARLIEST}}
        return self._batches.count_documents(waiting, limit=limit, session=self._session)

    def oldest(self, candidates: Collection[str], now: datetime) -> Overdue:
        """Since when first attempts wait, by lane, among some batches and those most overdue.

        Retries are left out: they have waited on purpose.

        Args:
            candidates: ids of batches, such as those at the heads of the lanes.
            now: the time.
        """
        wanted = {"_id": 0, "lane": 1, "created_at": 1, "attempt": 1, "due_at": 1}
        late = self._batches.find({"due_at": {"$lte": now}}, wanted, session=self._session)
        overdue = list(late.sort("due_at", ASCENDING).limit(MOST_OVERDUE))
        asked = {"_id": {"$in": list(candidates)}, "done": False}
        found = [*overdue, *self._batches.find(asked, wanted, session=self._session)]
        since: dict[str, datetime] = {}
        for doc in found:
            if not doc["attempt"]:
                lane, created_at = doc["lane"], doc["created_at"]
                since[lane] = min(created_at, since.get(lane, created_at))
        return Overdue(since, overdue[0]["due_at"] if overdue else None)

    def idle(self) -> bool:
        """Whether nothing is left to be done, dead letters aside."""
        left = self._batches.find_one({"due_at": {"$gte": EARLIEST}}, session=self._session)
        return left is None


def _pending(batch: Batch, created_at: datetime, due_at: datetime | None) -> dict[str, Any]:
    document = {
        "_id": batch.id,
        "handler": batch.handler,
        "events": list(batch.events),
        "lane": batch.lane,
        "attempt": batch.attempt,
        "created_at": created_at,
        "done": False,
    }
    if batch.deaths:
        document["deaths"] = batch.deaths
    if due_at is not None:
        document["due_at"] = due_at
    return document


def _addition(batch: Batch, created_at: datetime, due_at: datetime | None) -> dict[str, Any]:
    """The statement that makes a batch pending unless it is; who ran it last is kept."""
    pending = {"$mergeObjects": [_LAST_RUN, {"$literal": _pending(batch, created_at, due_at)}]}
    kept = {"$cond": [{"$ne": ["$done", False]}, pending, "$$ROOT"]}
    return {"q": {"_id": batch.id}, "u": [{"$replaceWith": kept}], "upsert": True}


def _done(batch: Batch, created_at: datetime, run: RunRecord) -> dict[str, Any]:
    """The statement that makes a batch one that this run has done, which held no ids for it."""
    unheld = replace(run, locked_at=None, fence=None).stored()
    document = _pending(batch, created_at, None) | {"done": True, **unheld}
    del document["events"]
    return {"q": {"_id": document.pop("_id")}, "u": document, "upsert": True}


def _renewal(batch: Batch, created_at: datetime, due_at: datetime) -> dict[str, Any]:
    """The statement that makes a batch pending whether or not it is."""
    pending = _pending(batch, created_at, due_at)
    created = {"created_at": pending.pop("created_at")}
    change: dict[str, Any] = {"$set": pending, "$setOnInsert": created}
    if not batch.deaths:
        change["$unset"] = {"deaths": ""}
    return {"q": {"_id": pending.pop("_id")}, "u": change, "upsert": True}


def _batch(doc: dict[str, Any]) -> Batch:
    return Batch(
        doc["_id"],
        doc["handler"],
        tuple(doc["events"]),
        doc["lane"],
        doc["attempt"],
        doc.get("deaths", 0),
    )
