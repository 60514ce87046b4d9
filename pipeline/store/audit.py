"""`audit`: who did what, one document for each thing that a person did through the console.

A note is written before the thing is done, and its outcome is added once: what has no outcome
was cut off. Nothing else changes a note, and nothing removes one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.client_session import ClientSession
from pymongo.database import Database

INDEXES: Final = {
    "audit": [
        # Prevents a scan when the page of an event shows what persons did about it. Only notes
        # about one event are in it.
        IndexModel(
            [("event", ASCENDING), ("_id", ASCENDING)],
            partialFilterExpression={"event": {"$exists": True}},
        ),
        # Prevents a walk through all notes when charts and the page of notes show those of a
        # stretch of time; the id is in the order in which pages show them.
        IndexModel([("at", ASCENDING), ("_id", ASCENDING)]),
    ],
}
SEARCHED: Final = 20_000
"""Notes that are looked through for those that match."""


class Note(NamedTuple):
    """One thing that a person did.

    Attributes:
        id: later ones sort after earlier ones.
        at: when.
        actor: who.
        role: as what.
        action: what, such as `requeue`.
        about: on what: a filter, an event, or settings.
        reason: why, in one sentence; empty where none is asked for.
        event: key of the event, where it is about one.
        operation: id of the operation in which it was done, if in one.
        outcome: what came of it; None until that is known.
    """

    id: str
    at: datetime
    actor: str
    role: str
    action: str
    about: dict[str, Any]
    reason: str = ""
    event: str | None = None
    operation: str | None = None
    outcome: str | None = None


class Audit:
    """The notes, within one transaction or none."""

    def __init__(self, database: Database[dict[str, Any]], session: ClientSession | None) -> None:
        self._notes = database["audit"]
        self._session = session

    def add(self, note: Note) -> None:
        """Write a note; one that exists raises DuplicateKeyError."""
        document = {name: value for name, value in note._asdict().items() if value is not None}
        document["_id"] = document.pop("id")
        self._notes.insert_one(document, session=self._session)

    def close(self, note: str, outcome: str) -> bool:
        """Add what came of it. Matches a note without an outcome, so the first one stays."""
        done = self._notes.update_one(
            {"_id": note, "outcome": {"$exists": False}},
            {"$set": {"outcome": outcome}},
            session=self._session,
        )
        return bool(done.matched_count)

    def newest(
        self,
        *,
        limit: int,
        before: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        actor: str | None = None,
        action: str | None = None,
        event: str | None = None,
    ) -> list[Note]:
        """The newest notes that match, from the one of the id `before` on, which is left out.

        Those of the moment `since` and later ones, and of before `until`. Looks through 20,000
        notes of that time at the most, unless asked about one event.
        """
        given = {"actor": actor, "action": action, "event": event}
        matching: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        ranged: dict[str, Any] = {"_id": {"$lt": before}} if before else {}
        ends = {"$gte": since, "$lt": until}
        within = {which: moment for which, moment in ends.items() if moment is not None}
        if within:
            ranged["at"] = within
        found: Any
        if event is not None:
            found = self._notes.find({**matching, **ranged}, session=self._session)
            found = found.sort("_id", DESCENDING).limit(limit)
        else:
            found = self._notes.aggregate(
                [
                    {"$match": ranged},
                    {"$sort": {"at": -1, "_id": -1} if within else {"_id": -1}},
                    {"$limit": SEARCHED},
                    {"$match": matching},
                    {"$limit": limit},
                ],
                session=self._session,
            )
        return [Note(id=doc.pop("_id"), **doc) for doc in found]
