"""`verifications`: passes over everything, the units they are split into, what they found.

A unit keeps how far it has come. It goes on in one transaction with what it found on the way
and what it added up, so a worker that dies costs nothing but the step it was at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from bson import Timestamp
from pymongo import ASCENDING, DESCENDING, IndexModel, ReplaceOne, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database

from pipeline.store.commands import ROUND_TRIP, Outdated, insert

Document = dict[str, Any]

INDEXES: Final[dict[str, list[IndexModel]]] = {
    # None but `_id`: units, findings and sums are ranges of it, since their ids begin with
    # that of their verification; of verifications a bounded number is kept.
    "verifications": [],
    "verification_units": [],
    "verification_findings": [],
    "verification_sums": [],
}
KEPT: Final = 20
"""Verifications of a kind that are kept to be looked at."""
ASKED_FOR: Final = "v"
SAMPLE: Final = "s"
"""What the names of those begin with that somebody asked for, and of those in the background."""
REMEMBERING: Final = "remembering"
"""The id of the one document that says for how long MongoDB is to keep history afterwards."""
CHUNK: Final = 1_000
"""Documents that are dropped at once."""
TRIES: Final = 2
"""How often one step of a unit may come to no end before the rest of the unit is given up."""
MOST_FINDINGS: Final = 10_000
"""Findings of one unit that are kept; all are counted."""


class Verification(NamedTuple):
    """One pass.

    Attributes:
        id: its name; later ones sort after earlier ones.
        moment: of MongoDB's cluster time; what was stored then is looked at. None where each
            step looks at what is stored when its turn comes.
        begun_at: when it began.
        scope: what is looked at: `all`, or a part such as `3/16`.
        repairs: whether what is wrong is put right.
        left: units of the present phase that are not done.
        ended_at: when it was done, if it is.
    """

    id: str
    moment: Timestamp | None
    begun_at: datetime
    scope: str
    repairs: bool
    left: int
    ended_at: datetime | None = None


class Unit(NamedTuple):
    """A piece of a verification, which one worker does at a time.

    Attributes:
        id: `<verification>/<number>`.
        work: which kind of work it is.
        about: on what: a part, a table or a fold.
        after: how far it has come; what that means is the work's own business.
        step: how often it has gone on.
        done: whether nothing is left.
        counts: what it has looked at and found.
        tries: how often the step that comes next was begun and came to no end, since MongoDB
            did not answer in time or the worker died.
    """

    id: str
    work: str
    about: str
    after: Any = None
    step: int = 0
    done: bool = False
    counts: Mapping[str, int] = {}
    tries: int = 0

    @property
    def verification(self) -> str:
        """The verification it is of."""
        return self.id.partition("/")[0]

    @property
    def last_try(self) -> bool:
        """Whether the step that comes next is told as not done, should it come to no end again."""
        return self.tries >= TRIES - 1


class Remembering(NamedTuple):
    """That MongoDB keeps more history than it was told to.

    Attributes:
        before: for how many seconds it was to keep it before.
        users: which passes need it, and since when.
    """

    before: int
    users: Mapping[str, datetime] = {}


class Verifications:
    """Passes, units, findings and sums, within one transaction or none."""

    def __init__(self, database: Database[Document], session: ClientSession | None) -> None:
        self._verifications = database["verifications"]
        self._units = database["verification_units"]
        self._findings = database["verification_findings"]
        self._sums = database["verification_sums"]
        self._session = session

    def begin(self, verification: Verification) -> None:
        """Note a new verification; one of that name raises DuplicateKeyError."""
        fields = verification._asdict()
        fields["_id"] = fields.pop("id")
        insert(self._verifications, [fields], self._session)

    def get(self, verification: str) -> Verification | None:
        """The verification of this name."""
        doc = self._verifications.find_one({"_id": verification}, session=self._session)
        return None if doc is None else _verification(doc)

    def newest(self, limit: int, kind: str) -> list[Verification]:
        """The last ones of a kind, newest first."""
        ranged = {"_id": {"$gte": kind, "$lt": chr(ord(kind) + 1)}}
        found = self._verifications.find(ranged, session=self._session).sort("_id", DESCENDING)
        return [_verification(doc) for doc in found.limit(limit)]

    def count_down(self, verification: str) -> int:
        """One unit less is left; how many are, of all that count down one after the other."""
        doc = self._verifications.find_one_and_update(
            {"_id": verification},
            {"$inc": {"left": -1}},
            return_document=ReturnDocument.AFTER,
            session=self._session,
        )
        return int(doc["left"]) if doc else 0

    def leave(self, verification: str, units: int) -> None:
        """Begin a phase of so many units."""
        self._set(verification, {"left": units})

    def end(self, verification: str, at: datetime) -> None:
        """Note that all is done."""
        self._set(verification, {"ended_at": at})

    def remember(self, user: str, at: datetime, before: int | None) -> None:
        """Note that a pass needs more history than MongoDB keeps, before it is told to keep it.

        Args:
            user: the pass.
            at: the present moment.
            before: for how many seconds MongoDB keeps it. None where it keeps enough: then
                it is only noted if that is so for others' sake.
        """
        change: Document = {"$push": {"users": {"name": user, "at": at}}}
        if before is not None:
            change["$set"] = {"before": before}
        self._verifications.update_one(
            {"_id": REMEMBERING}, change, upsert=before is not None, session=self._session
        )

    def remembering(self) -> Remembering | None:
        """What is noted of it; None where MongoDB keeps as much as it was told to."""
        doc = self._verifications.find_one({"_id": REMEMBERING}, session=self._session)
        if doc is None:
            return None
        return Remembering(doc["before"], {user["name"]: user["at"] for user in doc["users"]})

    def need_no_longer(self, users: Sequence[str]) -> None:
        """Note that these passes need it no longer."""
        self._verifications.update_one(
            {"_id": REMEMBERING},
            {"$pull": {"users": {"name": {"$in": list(users)}}}},
            session=self._session,
        )

    def remember_no_longer(self) -> bool:
        """Drop the note, unless somebody needs it; whether nobody does."""
        self._verifications.delete_one({"_id": REMEMBERING, "users": []}, session=self._session)
        return self.remembering() is None

    def _set(self, verification: str, values: Document) -> None:
        self._verifications.update_one(
            {"_id": verification}, {"$set": values}, session=self._session
        )

    def add_units(self, units: Sequence[Unit]) -> None:
        """Note units that are to be done."""
        docs = []
        for unit in units:
            fields = unit._asdict()
            fields["_id"] = fields.pop("id")
            docs.append(fields)
        insert(self._units, docs, self._session)

    def unit(self, unit: str) -> Unit | None:
        """The unit of this id."""
        doc = self._units.find_one({"_id": unit}, session=self._session)
        return None if doc is None else _unit(doc)

    def units(self, verification: str) -> list[Unit]:
        """All units of a verification so far, in their order."""
        found = self._units.find(_of(verification), session=self._session, batch_size=ROUND_TRIP)
        return [_unit(doc) for doc in found.sort("_id", ASCENDING)]

    def advance(self, unit: Unit, after: Any, *, done: bool, counts: Mapping[str, int]) -> None:
        """Note how far a unit has come.

        Raises:
            Outdated: somebody else has been at it since it was read.
        """
        change: Document = {
            "$set": {"after": after, "done": done, "tries": 0},
            "$inc": {"step": 1},
        }
        change["$inc"] |= {f"counts.{name}": n for name, n in counts.items() if n}
        there = {"_id": unit.id, "step": unit.step, "done": False}
        changed = self._units.update_one(there, change, session=self._session)
        if not changed.matched_count:
            raise Outdated(f"{unit.id} has gone on from step {unit.step}")

    def note_try(self, unit: str) -> int:
        """Count that the next step of a unit came to no end; how often it has."""
        doc = self._units.find_one_and_update(
            {"_id": unit, "done": False},
            {"$inc": {"tries": 1}},
            return_document=ReturnDocument.AFTER,
            session=self._session,
        )
        return int(doc["tries"]) if doc else 0

    def note(self, unit: Unit, findings: Iterable[Document]) -> None:
        """Keep what a step of a unit has found, as far as there is room."""
        docs = [
            {"_id": f"{unit.id}/{unit.step:06}/{number:05}", **finding}
            for number, finding in zip(range(MOST_FINDINGS), findings, strict=False)
        ]
        insert(self._findings, docs, self._session)

    def findings(self, verification: str, limit: int, after: str = "") -> list[Document]:
        """What was found, a page at a time, in an order of its own."""
        ranged = _of(verification)
        ranged["_id"]["$gt"] = max(after, ranged["_id"]["$gt"])
        found = self._findings.find(ranged, session=self._session, batch_size=ROUND_TRIP)
        return list(found.sort("_id", ASCENDING).limit(limit))

    def sums(self, verification: str, table: str, keys: Sequence[str]) -> dict[str, Document]:
        """What was added up so far for these documents of a table, by key."""
        prefix = _sum_id(verification, table, "")
        ids = [prefix + key for key in keys]
        found = self._sums.find({"_id": {"$in": ids}}, session=self._session, batch_size=ROUND_TRIP)
        return {doc["_id"][len(prefix) :]: doc for doc in found}

    def sums_after(
        self, verification: str, table: str, after: str | None, limit: int
    ) -> list[tuple[str, Document]]:
        """What was added up for the documents of a table, by key, in the order of the keys."""
        prefix = _sum_id(verification, table, "")
        start = {"$gte": prefix} if after is None else {"$gt": prefix + after}
        ranged = {"_id": {**start, "$lt": f"{prefix[:-1]}}}"}}
        found = self._sums.find(ranged, session=self._session, batch_size=ROUND_TRIP)
        return [(doc["_id"][len(prefix) :], doc) for doc in found.sort("_id", 1).limit(limit)]

    def put_sums(self, verification: str, table: str, sums: Mapping[str, Document]) -> None:
        """Keep what was added up for these documents, instead of what was kept of them."""
        writes = []
        for key, total in sums.items():
            id_ = _sum_id(verification, table, key)
            writes.append(ReplaceOne({"_id": id_}, {"_id": id_, **total}, upsert=True))
        if writes:
            self._sums.bulk_write(writes, ordered=False, session=self._session)

    def forget_sums(self, verification: str) -> None:
        """Drop what was added up: it is used up when the verification is done.

        There may be millions, so they go in chunks, and not within a transaction.
        """
        self._drop(self._sums, {"_id": {"$gt": f"{verification}|", "$lt": f"{verification}}}"}})

    def forget(self, verification: str) -> None:
        """Drop a verification with all that is of it, itself last; as above."""
        self.forget_sums(verification)
        self._drop(self._findings, _of(verification))
        self._drop(self._units, _of(verification))
        self._verifications.delete_one({"_id": verification}, session=self._session)

    def _drop(self, collection: Collection[Document], ranged: Document) -> None:
        while chunk := list(
            collection.find(ranged, {"_id": 1}, session=self._session).limit(CHUNK)
        ):
            ids = [doc["_id"] for doc in chunk]
            collection.delete_many({"_id": {"$in": ids}}, session=self._session)


def _of(verification: str) -> Document:
    return {"_id": {"$gt": f"{verification}/", "$lt": f"{verification}0"}}


def _sum_id(verification: str, table: str, key: str) -> str:
    return f"{verification}|{table}|{key}"


def _verification(doc: Document) -> Verification:
    return Verification(**_fields(doc, Verification._fields))


def _unit(doc: Document) -> Unit:
    return Unit(**_fields(doc, Unit._fields))


def _fields(doc: Document, names: Sequence[str]) -> Document:
    """The fields of these names; what another version has noted besides is left out."""
    known = {name: doc[name] for name in names if name in doc}
    return {"id": doc["_id"], **known}
