"""Temporal tables: one row for each event applied to a document of a fold.

A row's id is `<document key>|<order>`, so the rows of a document lie next to each other in
the order of their events, and no second index is needed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, DeleteOne, ReplaceOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database

from pipeline.event import LATEST, first_from, orders_from
from pipeline.store.commands import ROUND_TRIP, SCANNED, insert
from pipeline.temporal import Row, Transition, before_of, row_id

Document = dict[str, Any]

_ORDER: Final = re.compile(r"\|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}~")
"""How the order in a row's id begins, with the bar before it."""


class History:
    """One temporal table, within one transaction or none."""

    def __init__(
        self, database: Database[Document], table: str, session: ClientSession | None
    ) -> None:
        self._rows = database[table]
        self._session = session

    def transitions(self, ids: Collection[str]) -> dict[str, Transition]:
        """What the events of these rows changed, by row id; absent rows are absent."""
        found = self._rows.find(
            {"_id": {"$in": list(ids)}},
            {"state": 1, "changed": 1},
            session=self._session,
            batch_size=ROUND_TRIP,
        )
        return {
            doc["_id"]: Transition(before_of(doc["state"], doc["changed"]), doc["state"])
            for doc in found
        }

    def state_before(self, key: str, order: str) -> Document | None:
        """A document's fields just before this order; None where it had none yet."""
        ranged = {"_id": {"$gt": f"{key}|", "$lt": row_id(key, order)}, "key": key}
        found = self._rows.find(ranged, {"state": 1}, session=self._session)
        last = next(iter(found.sort("_id", DESCENDING).limit(1)), None)
        return None if last is None else last["state"]

    def heads(self, table: str, places: Mapping[str, str], limit: int) -> dict[str, list[Row]]:
        """For each document, so many of its rows from a given one on, in order; one round trip.

        Args:
            table: where the documents are; what is not there has no rows.
            places: by document key, the id of the row to begin with.
            limit: most rows of each.
        """
        found: dict[str, list[Row]] = {key: [] for key in places}
        keys, ids = list(places), list(places.values())
        # A command for all ranges together would read the first document's rows to their end
        # before those of the second.
        place = {
            "$arrayElemAt": [{"$literal": ids}, {"$indexOfArray": [{"$literal": keys}, "$_id"]}]
        }
        ranged = [{"$gte": ["$_id", "$$place"]}, {"$lt": ["$_id", "$$end"]}]
        of_one: list[dict[str, Any]] = [
            {"$match": {"$expr": {"$and": [*ranged, {"$eq": ["$key", "$$key"]}]}}},
            *_first(limit),
        ]
        joined = {
            "from": self._rows.name,
            "let": {"place": place, "end": {"$concat": ["$_id", "}"]}, "key": "$_id"},
            "pipeline": of_one,
            "as": "row",
        }
        stages: list[dict[str, Any]] = [
            {"$match": {"_id": {"$in": keys}}},
            {"$project": {"_id": 1}},
            {"$lookup": joined},
            {"$unwind": "$row"},
            {"$replaceRoot": {"newRoot": "$row"}},
        ]
        documents = self._rows.database[table]
        for row in documents.aggregate(stages, session=self._session, batchSize=ROUND_TRIP):
            found[row["key"]].append(_row(row))
        return found

    def onward(self, key: str, after: str, limit: int) -> list[Row]:
        """So many rows of a document after the row of this id, in order."""
        ranged = {"_id": {"$gt": after, "$lt": f"{key}}}"}, "key": key}
        stages = [{"$match": ranged}, *_first(limit)]
        cursor = self._rows.aggregate(stages, session=self._session, batchSize=ROUND_TRIP)
        return [_row(doc) for doc in cursor]

    def documents(self, keys: Collection[str]) -> dict[str, list[Document]]:
        """All rows of these documents just as they are stored, by document key, in order."""
        found: dict[str, list[Document]] = {key: [] for key in keys}
        ranges = [{"_id": {"$gt": f"{key}|", "$lt": f"{key}}}"}} for key in keys]
        if not ranges:
            return found
        rows = self._rows.find({"$or": ranges}, session=self._session, batch_size=ROUND_TRIP)
        for row in rows.sort("_id", ASCENDING):
            key = self.key_of(row)
            if key in found:
                found[key].append(row)
        return found

    @staticmethod
    def key_of(row: Document) -> str:
        """The document that a row is of, by its id where its own word for it is wrong."""
        id_, said = str(row["_id"]), row.get("key")
        if isinstance(said, str) and id_.startswith(f"{said}|"):
            return said
        found = _ORDER.search(id_)
        return id_[: found.start()] if found else id_

    def remove(self, ids: Collection[str]) -> None:
        """Remove these rows."""
        if ids:
            self._rows.delete_many({"_id": {"$in": list(ids)}}, session=self._session)

    def at(
        self,
        moment: datetime,
        matching: Sequence[Mapping[str, Any]],
        *,
        key: str | None,
        limit: int,
    ) -> list[Row]:
        """The rows that were valid at a moment, by id; at most one for each document.

        Matches all that is in `matching`. With a document's key its rows up to the moment are
        read from the newest on, and without conditions that is the first.
        """
        direction = ASCENDING
        valid = {"$or": [{"valid_to": None}, {"valid_to": {"$gt": moment}}]}
        wanted: list[Mapping[str, Any]] = [{"valid_from": {"$lte": moment}}, valid, *matching]
        if key is not None:
            after = orders_from(min(moment, LATEST) + timedelta(microseconds=1))
            wanted.append({"_id": {"$gt": f"{key}|", "$lt": row_id(key, after)}, "key": key})
            direction, limit = DESCENDING, 1
        found = self._rows.find({"$and": wanted}, {"_sync": 0}, session=self._session)
        return [_row(doc) for doc in found.sort("_id", direction).limit(limit)]

    def of(
        self, key: str, *, since: datetime | None, until: datetime | None, limit: int
    ) -> list[Row]:
        """The first rows of one document whose events lie in since <= time < until, in order."""
        start = f"{key}|" if since is None else row_id(key, orders_from(since))
        end = f"{key}}}" if until is None else row_id(key, orders_from(until))
        ranged = {"_id": {"$gte": start, "$lt": end}, "key": key}
        found = self._rows.find(ranged, {"_sync": 0}, session=self._session)
        return [_row(doc) for doc in found.sort("_id", ASCENDING).limit(limit)]

    def between(
        self, since: datetime | None, until: datetime | None, matching: Mapping[str, Any]
    ) -> Iterator[Row]:
        """The rows whose events lie in since <= time < until, in no order, as they are read.

        Matches all that is in `matching`; where the fold has a timeline, its index is used.
        """
        ends = {"$gte": since, "$lt": until}
        times = {sign: first_from(end) for sign, end in ends.items() if end is not None}
        wanted = {"valid_from": times, **matching} if times else matching
        found = self._rows.find(wanted, {"_sync": 0}, session=self._session, batch_size=SCANNED)
        return map(_row, found)

    def write(
        self,
        *,
        new: Iterable[Row],
        rewritten: Iterable[Row],
        removed: Iterable[Row],
        closed: Mapping[str, datetime | None],
        stamp: Document,
    ) -> None:
        """Insert, replace and remove rows, and end the validity of closed ones.

        Args:
            new: rows that must not exist; one that does raises DuplicateKeyError.
            rewritten: rows that changed because another event came or went before them.
            removed: rows whose events are as if they had never come.
            closed: by row id, when its validity ends; None where it is the newest now.
            stamp: read and write times, kept with every row written.
        """
        documents = [document_of(row, stamp) for row in new]
        if documents:
            insert(self._rows, documents, self._session)
        writes: list[Any] = [
            ReplaceOne({"_id": row.id}, document_of(row, stamp)) for row in rewritten
        ]
        writes += [DeleteOne({"_id": row.id}) for row in removed]
        writes += [
            UpdateOne({"_id": row}, {"$set": {"valid_to": end}}) for row, end in closed.items()
        ]
        if writes:
            self._rows.bulk_write(writes, ordered=False, session=self._session)


def document_of(row: Row, stamp: Document) -> Document:
    """The row as it is stored, with the stamp of the run that writes it."""
    return {
        "_id": row.id,
        "key": row.key,
        "event": row.event,
        "prev": row.prev,
        "valid_from": row.valid_from,
        "valid_to": row.valid_to,
        "state": row.state,
        "changed": row.changed,
        "_sync": {"event_at": row.valid_from, **stamp},
    }


def _first(limit: int) -> list[dict[str, Any]]:
    return [{"$sort": {"_id": ASCENDING}}, {"$limit": limit}, {"$unset": "_sync"}]


def _row(doc: Document) -> Row:
    return Row(
        key=doc["key"],
        order=doc["_id"][len(doc["key"]) + 1 :],
        event=doc["event"],
        prev=doc["prev"],
        valid_from=doc["valid_from"],
        valid_to=doc["valid_to"],
        state=doc["state"],
        changed=doc["changed"],
    )
