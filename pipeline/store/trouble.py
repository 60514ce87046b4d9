"""Rows of the ledger that are not final: retrying, snoozed, dead letters.

They are few among many, and the index `trouble_in_time` holds only them. In it they stand by
state, then time, then id: their places, by which they are read page by page.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Self

from pymongo import ASCENDING, DESCENDING
from pymongo.client_session import ClientSession
from pymongo.database import Database

from pipeline.store.commands import ROUND_TRIP
from pipeline.store.ledger import TROUBLE, LedgerRow, LedgerState, row_of
from pipeline.store.paging import between, beyond

GROUPED_BY: Final = {
    "handler": "$handler",
    "error": "$error.type",
    "signature": "$error.signature",
}


class Place(NamedTuple):
    """Where a row stands among those that are not final."""

    state: LedgerState
    write_at: datetime
    id: str

    @classmethod
    def of(cls, row: LedgerRow) -> Self:
        """The row's place."""
        return cls(row.state, row.write_at, row.id)


@dataclass(frozen=True, slots=True)
class Where:
    """Which rows in trouble are meant; all that is given must hold.

    Attributes:
        tenant: whose events.
        handler: the handler's name.
        error: the type of the error, such as `ValueError`.
        since: failed at this moment or later.
        until: failed before this moment.
        event: event key.
        signature: of the error; empty for those without one, which died before there were any.
    """

    tenant: str | None = None
    handler: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    event: str | None = None
    signature: str | None = None

    def as_of(self, now: datetime) -> Where:
        """The same, without what fails later than now."""
        end = now + timedelta(milliseconds=1)
        return replace(self, until=end if self.until is None else min(self.until, end))


class Tally(NamedTuple):
    """How many events of one handler have one type of error, and their first and last time."""

    handler: str
    error: str
    events: int
    oldest: datetime
    newest: datetime


class Group(NamedTuple):
    """Dead letters of one handler whose errors have one type and one signature.

    Attributes:
        handler: which gave up.
        error: the type of the error; None where a row has none.
        signature: of the error's message; None of rows that died before there were any.
        events: how many there are.
        oldest: when the first of them died.
        newest: when the last of them died.
    """

    handler: str
    error: str | None
    signature: str | None
    events: int
    oldest: datetime
    newest: datetime

    @property
    def id(self) -> str:
        """What persons name it by; 12 hexadecimal digits."""
        return group_id(self.handler, self.error, self.signature)


class Cell(NamedTuple):
    """The part of a group that is of one tenant."""

    tenant: str
    group: Group


class Waiting(NamedTuple):
    """How many events of a handler are in a state of trouble, and since when the oldest is."""

    handler: str
    state: str
    events: int
    oldest: datetime


def group_id(handler: str, error: str | None, signature: str | None) -> str:
    """The id of the group of these."""
    parts = json.dumps([handler, error, signature]).encode()
    return hashlib.sha256(parts).hexdigest()[:12]


class Trouble:
    """The rows that are not final, within one transaction or none."""

    def __init__(self, database: Database[dict[str, Any]], session: ClientSession | None) -> None:
        self._ledger = database["ledger"]
        self._session = session

    def rows(
        self,
        state: LedgerState,
        where: Where,
        *,
        limit: int,
        after: Place | None = None,
        newest_first: bool = False,
    ) -> list[LedgerRow]:
        """Rows in a state that is not final, in the order of their places, from one place on."""
        found = self._in_order(state, where, after, limit, newest_first=newest_first)
        return [row_of(doc) for doc in found]

    def places(
        self,
        states: Sequence[LedgerState],
        where: Where,
        *,
        limit: int,
        after: Place | None = None,
    ) -> list[Place]:
        """The places of rows in one of these states after the other, from one place on."""
        found: list[Place] = []
        for state in states[states.index(after.state) if after else 0 :]:
            start = after if after and after.state is state else None
            found += [
                Place(state, doc["write_at"], doc["_id"])
                for doc in self._in_order(state, where, start, limit - len(found), ["write_at"])
            ]
        return found

    def tallies(self, where: Where) -> list[Tally]:
        """How many rows are dead, by handler and error; read from an index alone."""
        groups = self._ledger.aggregate(
            [
                {"$match": _dead(where)},
                {
                    "$group": {
                        "_id": {"handler": "$handler", "error": "$error.type"},
                        "events": {"$sum": 1},
                        "oldest": {"$min": "$write_at"},
                        "newest": {"$max": "$write_at"},
                    }
                },
                {"$sort": {"_id.handler": 1, "_id.error": 1}},
            ],
            session=self._session,
        )
        return [Tally(**row.pop("_id"), **row) for row in groups]

    def groups(self, where: Where, *, limit: int) -> list[Group]:
        """How many rows are dead, by handler, error and signature, the newest first; as above."""
        return [Group(**one) for one in self._grouped(where, GROUPED_BY, limit)]

    def cells(self, where: Where, *, limit: int) -> list[Cell]:
        """The groups of each tenant, the newest first; as above."""
        by = {**GROUPED_BY, "tenant": "$tenant"}
        found = self._grouped(where, by, limit)
        return [Cell(one.pop("tenant"), Group(**one)) for one in found]

    def _grouped(self, where: Where, by: Mapping[str, str], limit: int) -> Iterator[dict[str, Any]]:
        groups = self._ledger.aggregate(
            [
                {"$match": _dead(where)},
                {
                    "$group": {
                        "_id": by,
                        "events": {"$sum": 1},
                        "oldest": {"$min": "$write_at"},
                        "newest": {"$max": "$write_at"},
                    }
                },
                {"$sort": {"newest": -1, "_id": 1}},
                {"$limit": limit},
            ],
            session=self._session,
            batchSize=ROUND_TRIP,
        )
        for one in groups:
            # What a row lacks is absent here.
            yield {"error": None, "signature": None, **one.pop("_id"), **one}

    def standing(self) -> list[Waiting]:
        """How many events are in trouble, by handler and state; read from the index alone."""
        groups = self._ledger.aggregate(
            [
                {
                    "$match": {
                        "trouble": True,
                        "state": {"$in": [state.value for state in TROUBLE]},
                    }
                },
                {
                    "$group": {
                        "_id": {"handler": "$handler", "state": "$state"},
                        "events": {"$sum": 1},
                        "oldest": {"$min": "$write_at"},
                    }
                },
            ],
            session=self._session,
            hint="trouble_in_time",
        )
        return [
            Waiting(row["_id"]["handler"], row["_id"]["state"], row["events"], row["oldest"])
            for row in groups
        ]

    def _in_order(
        self,
        state: LedgerState,
        where: Where,
        after: Place | None,
        limit: int,
        fields: Sequence[str] | None = None,
        *,
        newest_first: bool = False,
    ) -> list[dict[str, Any]]:
        way = DESCENDING if newest_first else ASCENDING
        order = [("state", way), ("write_at", way), ("_id", way)]
        matching = {"state": state.value, **_matching(where)}
        found: list[dict[str, Any]] = []
        place = (after.write_at, after.id) if after else (None, None)
        for part in beyond(*place, newest_first=newest_first):
            left = limit - len(found)
            if left > 0:
                some = self._ledger.find(
                    {"$and": [matching, part]}, fields, session=self._session, batch_size=ROUND_TRIP
                )
                found += some.sort(order).limit(left)
        return found


def _matching(where: Where) -> dict[str, Any]:
    """The filter as MongoDB asks for it."""
    return {"trouble": True, **_given(where)}


def _dead(where: Where) -> dict[str, Any]:
    """Dead rows that match. Without `trouble`, which no index holds, no document is read."""
    return {"state": LedgerState.DEAD.value, **_given(where)}


def _given(where: Where) -> dict[str, Any]:
    given = {"tenant": where.tenant, "handler": where.handler, "error.type": where.error}
    matching: dict[str, Any] = {k: value for k, value in given.items() if value is not None}
    if where.signature is not None:
        matching["error.signature"] = where.signature or None
    matching |= between(where.since, where.until)
    if where.event is not None:
        # A handler's name holds no `|`; an event's id may go on after one of its own.
        of_event = {"$gt": f"{where.event}|", "$lt": f"{where.event}}}"}
        matching["_id"] = of_event | {"$regex": f"^{re.escape(where.event)}\\|[^|]*$"}
    return matching
