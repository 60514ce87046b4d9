"""The work, as a user of a plain queue would write it: five writes an event, majority each.

Nothing of the pipeline is used to do it. An event goes through a queue as JSON; each function
here is one of the five writes. `bullmq/work.mjs` is the same in JavaScript.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, NamedTuple

from pymongo import ASCENDING, MongoClient, ReturnDocument
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, DuplicateKeyError

from benchmarks.peers.place import DATABASE, MONGO
from pipeline import Event

Document = dict[str, Any]
Message = dict[str, Any]

EVENTS: Final = "events"
APPOINTMENTS: Final = "rs_appointments"
CHANGES: Final = "rs_appointment_changes"
CONVERSIONS: Final = "rs_lead_global_conversions"
TABLES: Final = (EVENTS, APPOINTMENTS, CHANGES, CONVERSIONS)

# A write counts when most members have it in their journals.
DURABLE: Final[dict[str, Any]] = {"w": "majority", "journal": True, "tz_aware": True}
_SAME_STATUS: Final = {"created": "scheduled", "cancelled": "canceled"}


class Fact(NamedTuple):
    """What an event says of an appointment.

    Attributes:
        key: of the event.
        tenant: whose it is.
        appointment: id of the appointment's document.
        at: when it happened.
        said: fields of the appointment; those that the event does not name are absent.
    """

    key: str
    tenant: str
    appointment: str
    at: datetime
    said: Document


def message(event: Event) -> Message:
    """An event as it goes through a queue: nothing but JSON."""
    return event.model_dump(mode="json") | {"key": event.key}


def fact_of(event: Message) -> Fact:
    """What the event says."""
    payload = event["payload"]
    word = event["type"].rpartition(".")[2]
    said = {"status": _SAME_STATUS.get(word, word)}
    said |= {name: payload[name] for name in ("lead", "channel") if name in payload}
    if "starts_at" in payload:
        said["starts_at"] = datetime.fromisoformat(payload["starts_at"])
    appointment = f"{event['tenant']}:{event['entity_id']}"
    at = datetime.fromisoformat(event["occurred_at"])
    return Fact(event["key"], event["tenant"], appointment, at, said)


def perform(database: Database[Document], event: Message) -> None:
    """Do all of the work for one event; again, where a queue delivers it again."""
    fact = fact_of(event)
    if not record(database, event):
        return
    before = apply(database, fact)
    keep_change(database, fact, before)
    count_conversion(database, fact)
    mark_done(database, fact)


def record(database: Database[Document], event: Message) -> bool:
    """Keep the event; tells whether there is anything left to do for it."""
    try:
        database[EVENTS].insert_one(event_document(event))
    except DuplicateKeyError:
        done = {"_id": event["key"], "done_at": {"$exists": True}}
        return database[EVENTS].find_one(done, {"_id": 1}) is None
    return True


def apply(database: Database[Document], fact: Fact) -> Document | None:
    """Bring the appointment up to date; returns it as it was before."""
    return database[APPOINTMENTS].find_one_and_update(
        {"_id": fact.appointment},
        appointment_update(fact),
        upsert=True,
        return_document=ReturnDocument.BEFORE,
    )


def keep_change(database: Database[Document], fact: Fact, before: Document | None) -> None:
    """Keep what changed, once however often we try."""
    row = change_row(fact, before)
    database[CHANGES].update_one({"_id": row.pop("_id")}, {"$setOnInsert": row}, upsert=True)


def count_conversion(database: Database[Document], fact: Fact) -> None:
    """One more of the outcome for its lead."""
    key, update = conversion(fact)
    database[CONVERSIONS].update_one({"_id": key}, update, upsert=True)


def mark_done(database: Database[Document], fact: Fact) -> None:
    """Note that nothing is left to do for the event."""
    database[EVENTS].update_one({"_id": fact.key}, done_mark())


def event_document(event: Message) -> Document:
    """The event as it is kept."""
    kept = {name: value for name, value in event.items() if name != "key"}
    at = datetime.fromisoformat(event["occurred_at"])
    return kept | {"_id": event["key"], "occurred_at": at, "begun_at": datetime.now(UTC)}


def appointment_update(fact: Fact) -> list[Document]:
    """What makes of an appointment what it is after the event.

    Workers overtake each other, so an older event must not undo a newer one: it only fills in
    what nobody has said yet.
    """
    newer = {"$gt": [fact.at, "$changed_at"]}  # a field that is missing is less than any time
    fields: Document = {}
    for name, value in fact.said.items():
        told = {"$literal": value}
        fields[name] = {"$cond": [newer, told, {"$ifNull": [f"${name}", told]}]}
    return [{"$set": {**fields, "changed_at": {"$max": ["$changed_at", fact.at]}}}]


def change_row(fact: Fact, before: Mapping[str, Any] | None) -> Document:
    """The row that tells of the change."""
    was = None if before is None else {name: before.get(name) for name in fact.said}
    return {
        "_id": f"{fact.appointment}|{fact.key}",
        "key": fact.appointment,
        "event": fact.key,
        "valid_from": fact.at,
        "state": fact.said,
        "before": was,
    }


def conversion(fact: Fact) -> tuple[str, Document]:
    """The id of the counter that the event adds to, and what it adds."""
    lead, channel = fact.said.get("lead", "none"), fact.said.get("channel", "none")
    update = {
        "$inc": {f"outcomes.{fact.said['status']}": 1},
        "$min": {"first_at": fact.at},
        "$max": {"last_at": fact.at},
        "$setOnInsert": {"tenant": fact.tenant, "lead": lead, "channel": channel},
    }
    return f"{fact.tenant}:{lead}:{channel}", update


def done_mark() -> Document:
    """What marks an event done, and says by whom."""
    return {"$set": {"done_at": datetime.now(UTC), "worker": os.getpid()}}


def prepare(database: Database[Document]) -> None:
    """Make collections and the index that a reader of an appointment's changes needs."""
    for table in TABLES:
        try:
            database.create_collection(table)
        except CollectionInvalid:  # it is there
            continue
    database[CHANGES].create_index([("key", ASCENDING), ("valid_from", ASCENDING)])


@cache
def our_database() -> Database[Document]:
    """This process's database, connected at the first use: a client must not be forked."""
    client = MongoClient[Document](os.environ[MONGO], **DURABLE)
    return client[os.environ[DATABASE]]


def perform_here(event: Message) -> None:
    """All of the work for one event, in this process's own database: what a worker calls."""
    perform(our_database(), event)
