"""`operations`: decisions about many dead letters at once, from the plan to the end.

The process that runs one writes how far it is, and reads in the same step whether it is to go
on; so anybody can look, and anybody with the right can stop it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database

INDEXES: Final[dict[str, list[IndexModel]]] = {
    # Lists are read by `_id`, which is in time of the plans.
    "operations": [
        # Prevents a scan when charts show which operations ended within their time.
        IndexModel([("ended_at", ASCENDING)]),
    ],
}


class Phase(StrEnum):
    """Where an operation stands."""

    PLANNED = "planned"
    """What it would do has been shown; a person starts it or leaves it."""
    RUNNING = "running"
    """A process is at it. One whose sign of life is old was cut off, and may be started again."""
    CANCELLED = "cancelled"
    """A person stopped it; what is done stays done."""
    DONE = "done"
    """Nothing is left that matches."""
    FAILED = "failed"
    """It could not go on; the error tells why. It may be started again."""


AGAIN: Final = (Phase.PLANNED, Phase.FAILED)
"""Phases from which it is started."""


class Operation(NamedTuple):
    """One decision about many.

    Attributes:
        id: later ones sort after earlier ones.
        verb: `requeue` or `discard`.
        where: the filter, with the moment of the plan as its end.
        by: who planned it.
        reason: why; empty where none is asked for.
        planned_at: when the plan was made.
        meant: how many letters it was for when it was planned.
        rate: letters a second, at most.
        phase: where it stands.
        limit: most letters; None for all.
        started_by: who started it, if it was started.
        started_at: when it was started.
        beat_at: when its process last said how far it is.
        ended_at: when it ended, if it has.
        found: what the plan counted, by handler and error; the largest of them.
        untouched: of those that match, how many it leaves as they are, by reason.
        tally: how many were done, left alone, of no loaded handler, and not told to Redis.
        after: the place up to which it has come.
        error: why it could not go on.
    """

    id: str
    verb: str
    where: dict[str, Any]
    by: str
    reason: str
    planned_at: datetime
    meant: int
    rate: int
    phase: Phase = Phase.PLANNED
    limit: int | None = None
    started_by: str | None = None
    started_at: datetime | None = None
    beat_at: datetime | None = None
    ended_at: datetime | None = None
    found: list[dict[str, Any]] = []  # noqa: RUF012 - never changed
    untouched: dict[str, int] = {}  # noqa: RUF012 - never changed
    tally: dict[str, int] = {}  # noqa: RUF012 - never changed
    after: dict[str, Any] | None = None
    error: str | None = None


class Operations:
    """The operations, within one transaction or none."""

    def __init__(self, database: Database[dict[str, Any]], session: ClientSession | None) -> None:
        self._operations = database["operations"]
        self._session = session

    def add(self, operation: Operation) -> None:
        """Keep a plan; one that exists raises DuplicateKeyError."""
        document = {k: v for k, v in operation._asdict().items() if v is not None}
        document["_id"] = document.pop("id")
        self._operations.insert_one(document, session=self._session)

    def get(self, operation: str) -> Operation | None:
        """The operation of this id, if there is one."""
        doc = self._operations.find_one({"_id": operation}, session=self._session)
        return None if doc is None else _operation(doc)

    def newest(self, *, limit: int, before: str | None = None) -> list[Operation]:
        """The newest ones, from the one of the id `before` on, which is left out."""
        ranged = {"_id": {"$lt": before}} if before else {}
        found = self._operations.find(ranged, session=self._session)
        return [_operation(doc) for doc in found.sort("_id", DESCENDING).limit(limit)]

    def ended(self, since: datetime, *, limit: int) -> list[Operation]:
        """Those that ended at this moment or later, the last one first."""
        found = self._operations.find({"ended_at": {"$gte": since}}, session=self._session)
        return [_operation(doc) for doc in found.sort("ended_at", DESCENDING).limit(limit)]

    def start(self, operation: str, by: str, at: datetime, lost: datetime) -> Operation | None:
        """Begin, or go on after a process was cut off; None where another is at it, or it ended.

        Matches what is planned or failed, and what is running without a sign of life since
        `lost`. Of two who start it at once the first does.
        """
        doc = self._operations.find_one_and_update(
            {
                "_id": operation,
                "$or": [
                    {"phase": {"$in": [phase.value for phase in AGAIN]}},
                    {"phase": Phase.RUNNING.value, "beat_at": {"$lt": lost}},
                ],
            },
            {
                "$set": {
                    "phase": Phase.RUNNING.value,
                    "started_by": by,
                    "started_at": at,
                    "beat_at": at,
                },
                "$unset": {"error": "", "ended_at": ""},
            },
            return_document=ReturnDocument.AFTER,
            session=self._session,
        )
        return None if doc is None else _operation(doc)

    def go_on(
        self,
        operation: Operation,
        tally: Mapping[str, int],
        after: Mapping[str, Any] | None,
        at: datetime,
    ) -> bool:
        """Note how far it is; False where it is this process's no longer.

        Matches it only while it runs as it was started by this process.
        """
        done = self._operations.update_one(
            self._own(operation),
            {"$set": {"tally": dict(tally), "after": after, "beat_at": at}},
            session=self._session,
        )
        return bool(done.matched_count)

    def end(
        self, operation: Operation, phase: Phase, at: datetime, error: str | None = None
    ) -> bool:
        """Note its end; False where it has ended already, or is another process's."""
        change: dict[str, Any] = {"phase": phase.value, "ended_at": at}
        if error is not None:
            change["error"] = error
        done = self._operations.update_one(
            self._own(operation), {"$set": change}, session=self._session
        )
        return bool(done.matched_count)

    def cancel(self, operation: str, at: datetime) -> bool:
        """Stop it, or drop its plan; False where it has ended.

        Its process sees it at its next step.
        """
        going = [Phase.PLANNED.value, Phase.RUNNING.value, Phase.FAILED.value]
        done = self._operations.update_one(
            {"_id": operation, "phase": {"$in": going}},
            {"$set": {"phase": Phase.CANCELLED.value, "ended_at": at}},
            session=self._session,
        )
        return bool(done.matched_count)

    def forget_plans(self, before: datetime) -> None:
        """Remove plans that nobody has started; looks through the planned ones."""
        self._operations.delete_many(
            {"phase": Phase.PLANNED.value, "planned_at": {"$lt": before}}, session=self._session
        )

    @staticmethod
    def _own(operation: Operation) -> dict[str, Any]:
        return {
            "_id": operation.id,
            "phase": Phase.RUNNING.value,
            "started_at": operation.started_at,
        }


def _operation(doc: dict[str, Any]) -> Operation:
    phase = Phase(doc.pop("phase"))
    return Operation(id=doc.pop("_id"), phase=phase, **doc)
