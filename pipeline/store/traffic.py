"""Events as they came, with their payloads, one after the other: for copies of traffic.

No index serves this: one would cost every event an entry, for what a person asks now and then.
MongoDB sorts metadata only, on its disk where they are many, and joins payloads afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pymongo.database import Database

from pipeline.event import event_id_of

ENVELOPE: Final = ("tenant", "source", "type", "entity_id", "seq", "occurred_at")


class Order(StrEnum):
    """In which order events are told."""

    ARRIVAL = "arrival"
    """As they were received; those of one call as MongoDB stored them."""
    EVENT = "event"
    """By event time, then sequence, then key."""


class Asked(NamedTuple):
    """Which events; all conditions that are given hold.

    Attributes:
        received_by: none that came later, so that those that come meanwhile change nothing.
        order: in which they are told.
        tenant: only this tenant's.
        types: only of these types, `*` matching any text; of any where there are none.
        since: only those received then or later; of the order `event`, that happened then.
        until: only those before then, likewise.
        undone: those too that a person took back.
    """

    received_by: datetime
    order: Order = Order.ARRIVAL
    tenant: str | None = None
    types: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    undone: bool = False


class Captured(NamedTuple):
    """An event as it came.

    Attributes:
        envelope: the fields of an `Event`, but for its payload.
        payload: its JSON text; None where it is stored no longer.
        copies: how often it was sent again.
    """

    envelope: dict[str, Any]
    payload: bytes | None
    copies: int


class Traffic:
    """The events of a database, to be read once through."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._events = database["events"]

    def count(self, asked: Asked) -> int:
        """How many events match; a full pass."""
        return self._events.count_documents(_matching(asked))

    def undone(self, asked: Asked) -> int:
        """How many events match that a person took back; a full pass."""
        condition = _matching(asked._replace(undone=True)) | {"voided": {"$exists": True}}
        return self._events.count_documents(condition)

    def events(self, asked: Asked) -> Iterator[Captured]:
        """The events that match, in their order; a full pass.

        One reply of MongoDB's, at most 16 MiB, is in memory at a time.
        """
        found = self._events.aggregate(_stages(asked), allowDiskUse=True)
        with found:
            for document in found:
                envelope = {name: document[name] for name in ENVELOPE}
                bodies = [*document["row"], *document["payload"]]
                yield Captured(
                    {"event_id": event_id_of(document["_id"]), **envelope},
                    next((one["body"] for one in bodies if "body" in one), None),
                    document.get("copies", 0),
                )


def _stages(asked: Asked) -> list[dict[str, Any]]:
    # Record ids grow with every insert, which tells the events of one call from each other.
    ways: dict[Order, dict[str, int]] = {
        Order.ARRIVAL: {"received_at": 1, "stored": 1},
        Order.EVENT: {"occurred_at": 1, "seq": 1, "_id": 1},
    }
    kept = dict.fromkeys((*ENVELOPE, "received_at", "copies"), 1)
    return [
        {"$match": _matching(asked)},
        {"$project": {**kept, "stored": {"$meta": "recordId"}}},
        {"$sort": ways[asked.order]},
        _joined("events", "row"),
        _joined("payloads", "payload"),
    ]


def _joined(table: str, name: str) -> dict[str, Any]:
    """What may hold the payload of each; after the sort, which has enough without them."""
    return {"$lookup": {"from": table, "localField": "_id", "foreignField": "_id", "as": name}}


def _matching(asked: Asked) -> dict[str, Any]:
    time = "received_at" if asked.order is Order.ARRIVAL else "occurred_at"
    bounds = {"$gte": asked.since, "$lt": asked.until}
    between = {sign: moment for sign, moment in bounds.items() if moment is not None}
    conditions: list[dict[str, Any]] = [{"received_at": {"$lte": asked.received_by}}]
    if between:
        conditions.append({time: between})
    if asked.tenant is not None:
        conditions.append({"tenant": asked.tenant})
    if asked.types:
        conditions.append({"type": {"$regex": _pattern(asked.types)}})
    if not asked.undone:
        conditions.append({"voided": {"$exists": False}})
    return {"$and": conditions}


def _pattern(types: tuple[str, ...]) -> str:
    told = "|".join(re.escape(one).replace(r"\*", ".*") for one in types)
    return f"^(?:{told})$"
