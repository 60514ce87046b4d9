"""Rows of the ledger of events that came out of order, or were held back.

They are few among many. The index `disorder_in_time` holds the first only, by time and then
id, by which they are read page by page; `held_by_document` the second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pymongo import ASCENDING, DESCENDING
from pymongo.client_session import ClientSession
from pymongo.database import Database

from pipeline.disorder import Mark
from pipeline.event import EARLIEST
from pipeline.holding import HoldEnd
from pipeline.store.coming import DISORDER, EVER_HELD, HELD
from pipeline.store.commands import ROUND_TRIP, SCANNED
from pipeline.store.ledger import LedgerRow, LedgerState, row_of
from pipeline.store.paging import between, beyond


@dataclass(frozen=True, slots=True)
class Among:
    """Which events are meant; all that is given must hold.

    Attributes:
        tenant: whose events.
        handler: the handler's name.
        mark: in which way they were out of order.
        since: applied at this moment or later.
        until: applied before this moment.
    """

    tenant: str | None = None
    handler: str | None = None
    mark: Mark | None = None
    since: datetime | None = None
    until: datetime | None = None


class Spot(NamedTuple):
    """Where a row stands among those with a mark: when it was written, and its id."""

    write_at: datetime
    id: str


class Marked(NamedTuple):
    """One event out of order, as far as it is counted."""

    tenant: str
    handler: str
    mark: Mark
    late_ms: int | None


class Waited(NamedTuple):
    """One event that was held back, as far as it is counted; no end and no time while it is."""

    tenant: str
    handler: str
    end: HoldEnd | None
    ms: int | None


class Marks:
    """The rows with a mark, within one transaction or none."""

    def __init__(self, database: Database[dict[str, Any]], session: ClientSession | None) -> None:
        self._ledger = database["ledger"]
        self._session = session

    def rows(
        self,
        among: Among,
        *,
        limit: int,
        after: Spot | None = None,
        newest_first: bool = True,
    ) -> list[LedgerRow]:
        """Rows with a mark, in the order of time and id, from one spot on."""
        way = DESCENDING if newest_first else ASCENDING
        found: list[LedgerRow] = []
        for part in beyond(*(after or (None, None)), newest_first=newest_first):
            left = limit - len(found)
            if left > 0:
                some = self._ledger.find(
                    {"$and": [_matching(among), part]},
                    session=self._session,
                    batch_size=ROUND_TRIP,
                    hint=DISORDER,
                )
                found += map(row_of, some.sort([("write_at", way), ("_id", way)]).limit(left))
        return found

    def every(self, among: Among) -> Iterator[Marked]:
        """All that have a mark, to be counted; read from the index alone."""
        wanted = {"_id": 0, "tenant": 1, "handler": 1, "mark": 1, "late_ms": 1}
        found = self._ledger.find(
            _matching(among), wanted, session=self._session, batch_size=SCANNED, hint=DISORDER
        )
        for doc in found:
            yield Marked(doc["tenant"], doc["handler"], Mark(doc["mark"]), doc.get("late_ms"))

    def waits(self, among: Among) -> Iterator[Waited]:
        """All events that are or were held back, to be counted; marks and times are left out."""
        found = self._ledger.find(
            # The index begins with the handler; see _matching.
            {"handler": {"$gt": ""}, **EVER_HELD, **_given(among)},
            {"_id": 0, "tenant": 1, "handler": 1, "held.end": 1, "held.ms": 1},
            session=self._session,
            batch_size=SCANNED,
            hint=HELD,
        )
        for doc in found:
            held = doc["held"]
            end = HoldEnd(held["end"]) if held.get("end") else None
            yield Waited(doc["tenant"], doc["handler"], end, held.get("ms"))

    def held_back(self, handler: str, keys: Collection[str]) -> list[LedgerRow]:
        """The rows of events of these documents that this handler holds back now."""
        found = self._ledger.find(
            {
                "handler": handler,
                "key": {"$in": list(keys)},
                "state": LedgerState.HELD.value,
                **EVER_HELD,
            },
            session=self._session,
        )
        return [row_of(doc) for doc in found]


def _given(among: Among) -> dict[str, Any]:
    given: Mapping[str, Any] = {"tenant": among.tenant, "handler": among.handler}
    return {name: value for name, value in given.items() if value is not None}


def _matching(among: Among) -> dict[str, Any]:
    """The filter as MongoDB asks for it; only rows with a mark are in the index.

    A condition on the time, which the index begins with, lets it check the others by the index
    alone.
    """
    mark: Any = {"$in": [mark.value for mark in Mark]} if among.mark is None else among.mark.value
    written = between(among.since or EARLIEST, among.until)
    return {"mark": mark, **_given(among), **written}
