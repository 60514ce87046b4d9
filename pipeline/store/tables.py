"""A domain's table in MongoDB."""

from __future__ import annotations

from collections.abc import Collection as Keys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bson.codec_options import CodecOptions
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import WriteError

from pipeline.errors import UpdateError
from pipeline.store import commands
from pipeline.tables import CODEC, Document, check_keys
from pipeline.updates import Update

# BadValue (a sum beyond 64 bits), TypeMismatch and PathNotViable: the document can't take
# the update, now or later. Anything else is about the server or a race.
_REFUSALS: Final = frozenset({2, 14, 28})


class MongoTable:
    """A table in a MongoDB collection, in a session's transaction if there is one."""

    def __init__(
        self, collection: Collection[Document], session: ClientSession | None = None
    ) -> None:
        # mongomock keeps Python's objects and knows no type registry; nor does its bulk write
        # take the operations of PyMongo 4.11 and later, so it is written to one by one.
        self._real = isinstance(collection, Collection)
        options: CodecOptions[Document] = CODEC if self._real else CodecOptions(tz_aware=True)
        self._collection = collection.with_options(codec_options=options)
        self._session = session

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._collection.name

    def get(self, keys: Keys[str]) -> dict[str, Document]:
        """One query by `_id`; none where there are no keys."""
        if not keys:
            return {}
        found = self._collection.find({"_id": {"$in": list(keys)}}, session=self._session)
        return {document["_id"]: document for document in found}

    def page(self, after: str | None, limit: int) -> list[Document]:
        """Documents after this id, in the order of their ids, which are text."""
        ranged = {"_id": {"$gte": ""} if after is None else {"$gt": after}}
        found = self._collection.find(ranged, session=self._session, batch_size=limit)
        return list(found.sort("_id", 1).limit(limit))

    def oddly_named(self, limit: int) -> list[Any]:
        """Ids of documents that are no text, which the pipeline never makes."""
        found = self._collection.find(
            {"_id": {"$not": {"$type": "string"}}}, {"_id": 1}, session=self._session
        )
        return [doc["_id"] for doc in found.limit(limit)]

    def count(self) -> int:
        """How many documents there are, counted one by one."""
        return self._collection.count_documents({}, session=self._session)

    def replace(self, documents: Sequence[Document]) -> None:
        """One command of replacing upserts."""
        check_keys(documents)
        if not documents:
            return
        if not self._real:
            for new in documents:
                self._collection.replace_one({"_id": new["_id"]}, new, upsert=True)
            return
        statements = [{"q": {"_id": new["_id"]}, "u": new, "upsert": True} for new in documents]
        commands.update(self._collection, statements, self._session)

    def apply(self, updates: Mapping[str, Update]) -> None:
        """One command of upserts."""
        sent = {key: update.to_mongo() for key, update in updates.items() if update}
        if not sent:
            return
        if not self._real:
            for key, update in sent.items():
                self._collection.update_one({"_id": key}, update, upsert=True)
            return
        statements = [{"q": {"_id": key}, "u": sent[key], "upsert": True} for key in sent]
        try:
            commands.update(self._collection, statements, self._session, ordered=False)
        except WriteError as error:
            if error.code in _REFUSALS and error.details:
                key, said = error.details["q"]["_id"], error.details["errmsg"]
                raise UpdateError(
                    f"{self.name}: {error.details['refused']} of the documents can't take "
                    f"their update, first {key!r}: {said}"
                ) from error
            raise

    def seize(self, keys: Keys[str], now: datetime) -> None:
        """Write to these documents now, so that no other transaction can until ours ends.

        A long transaction that writes a hot document last loses it again and again to short
        ones. Race: whoever writes it at this moment wins, and we find out at once instead of
        after all our work.
        """
        if keys:
            self._collection.update_many(
                {"_id": {"$in": list(keys)}},
                {"$set": {"_sync.write_at": now}},
                session=self._session,
            )

    def mend(self, key: str, add: Document, put: Document, drop: Sequence[str]) -> None:
        """Add to some fields of a document, put others, and drop others, by path.

        Matches by `_id`. Race: in transactions the second writer fails and runs again.

        Raises:
            UpdateError: the document can't take it.
        """
        change = {"$inc": add, "$set": put, "$unset": dict.fromkeys(drop, "")}
        change = {operator: fields for operator, fields in change.items() if fields}
        if change:
            self._change(key, change)

    def recompute(self, key: str, total: Update, paths: Keys[str]) -> None:
        """Set these paths of one document to what `total` makes of nothing, or remove them.

        Matches by `_id`; other fields stay. Race: in transactions the second writer fails
        and runs again.

        Raises:
            UpdateError: the document can't take it.
        """
        absent = dict.fromkeys(set(paths) - total.paths, "")
        change: Document = {}
        if total:
            change["$set"] = {path: _at(total.apply(None), path) for path in total.paths}
        if absent:
            change["$unset"] = absent
        if change:
            self._change(key, change)

    def _change(self, key: str, change: Document) -> None:
        try:
            self._collection.update_one({"_id": key}, change, session=self._session)
        except WriteError as error:
            if error.code in _REFUSALS:
                raise UpdateError(f"{self.name}: {key!r} can't take its update: {error}") from error
            raise

    def remove(self, keys: Keys[str]) -> None:
        """Remove these documents; of two transactions that write one, the second conflicts."""
        if keys:
            self._collection.delete_many({"_id": {"$in": list(keys)}}, session=self._session)

    def prune(self, keys: Keys[str]) -> None:
        """Remove those of the documents that nothing contributes to any more."""
        if keys:
            self._collection.delete_many(
                {"_id": {"$in": list(keys)}, "_sync.contributions": {"$lte": 0}},
                session=self._session,
            )


def _at(document: Document, path: str) -> Any:
    for segment in path.split("."):
        document = document[segment]
    return document
