"""`stances`: what persons have said about groups of dead letters, one document a group.

There are a thousand at the most. Beyond that those given longest ago are forgotten, which shows
a group that was out of sight, and hides none.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pymongo import ASCENDING, IndexModel
from pymongo.client_session import ClientSession
from pymongo.database import Database

INDEXES: Final = {
    "stances": [
        # Prevents a sort when those given longest ago are looked for.
        IndexModel([("at", ASCENDING)]),
    ],
}
MOST: Final = 1_000


class Said(StrEnum):
    """What a person has said about a group."""

    ACKNOWLEDGED = "acknowledged"
    """Somebody looks at it."""
    IGNORED_UNTIL_AGAIN = "ignored_until_again"
    """Nobody needs to look, unless one more dies."""
    IGNORED = "ignored"
    """Nobody needs to look, however many die."""

    @property
    def words(self) -> str:
        """As a person reads it."""
        return self.value.replace("_", " ")


class Stance(NamedTuple):
    """What a person has said about a group.

    Attributes:
        id: of the group.
        handler: of the group, as error and signature are.
        error: type of the error.
        signature: of the error.
        said: what.
        by: who.
        at: when.
        note: why, or who looks; may be empty.
        seen: what died later than this was not there to be seen.
    """

    id: str
    handler: str
    error: str | None
    signature: str | None
    said: Said
    by: str
    at: datetime
    note: str
    seen: datetime


class Stances:
    """The stances, within one transaction or none."""

    def __init__(self, database: Database[dict[str, Any]], session: ClientSession | None) -> None:
        self._stances = database["stances"]
        self._session = session

    def all(self) -> dict[str, Stance]:
        """All of them, by the id of the group."""
        found = self._stances.find({"_id": {"$gt": ""}}, session=self._session)
        return {doc["_id"]: _stance(doc) for doc in found.batch_size(MOST)}

    def put(self, stance: Stance) -> None:
        """Take a stance in place of the one before. Matches by `_id`; the last one stays."""
        document = stance._asdict()
        document["_id"] = document.pop("id")
        document["said"] = stance.said.value
        self._stances.replace_one({"_id": stance.id}, document, upsert=True, session=self._session)
        self._forget_beyond(MOST)

    def drop(self, group: str) -> Stance | None:
        """Take a stance back, and tell which it was. Matches by `_id`; of two the first does."""
        doc = self._stances.find_one_and_delete({"_id": group}, session=self._session)
        return None if doc is None else _stance(doc)

    def _forget_beyond(self, most: int) -> None:
        beyond = self._stances.find({}, {"_id": 1}, session=self._session)
        oldest = [doc["_id"] for doc in beyond.sort("at", -1).skip(most).limit(most)]
        if oldest:
            self._stances.delete_many({"_id": {"$in": oldest}}, session=self._session)


def _stance(doc: dict[str, Any]) -> Stance:
    said = Said(doc.pop("said"))
    return Stance(id=doc.pop("_id"), said=said, **doc)
