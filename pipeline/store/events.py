"""`events`: the metadata of every event, and `payloads`: the bodies of large ones (claim check).

A row of `events` stays small, so that millions are searched cheaply: a payload of more than a
kibibyte is found under the same id in `payloads`. A smaller one stands in the row, which spares
a document, an index entry and a query. Both are written in the transaction that makes the event
durable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database

from pipeline.event import Event, event_id_of
from pipeline.slots import slot_of
from pipeline.store.commands import ROUND_TRIP, SCANNED, insert
from pipeline.store.event_rows import (
    AS_ROWS,
    BODY_BYTES,
    EventRecord,
    ReadPayload,
    Voided,
    in_utc,
    keys_apart,
    payload_of,
    record_of,
    row_of,
    stored,
    with_payloads,
)

INDEXES: Final = {
    "events": [
        # Prevents a scan when one entity is asked for, or a part of all entities by their hash.
        IndexModel([("slot", ASCENDING), ("tenant", ASCENDING), ("entity_id", ASCENDING)]),
        # Prevents a scan when a person asks how many were sent again. Only those are in it.
        IndexModel(
            [("repeated", ASCENDING), ("tenant", ASCENDING)],
            partialFilterExpression={"repeated": True},
        ),
        # Prevents a look at all events of an entity where the undone ones are asked for. Only
        # those are in it.
        IndexModel(
            [("tenant", ASCENDING), ("entity_id", ASCENDING)],
            name="voided_of_entity",
            partialFilterExpression={"voided": {"$exists": True}},
        ),
    ],
    "payloads": [],
}


SAME_MOMENT: Final = 1_000
"""Events of one moment among which the one before another is looked for."""
LAST_CHARACTER: Final = "\U0010ffff"
"""Sorts after every other."""


class Entity(NamedTuple):
    """What events happen to, in the order in which a pass over all of them goes."""

    slot: int
    tenant: str
    entity_id: str


_BY_ENTITY: Final = [("slot", ASCENDING), ("tenant", ASCENDING), ("entity_id", ASCENDING)]


class Events:
    """The events and their payloads, within one transaction or none."""

    def __init__(self, database: Database[dict[str, Any]], session: ClientSession | None) -> None:
        self._events = database.get_collection("events", codec_options=AS_ROWS)
        self._payloads = database["payloads"]
        self._session = session

    def insert(self, events: Sequence[tuple[Event, bytes]], received_at: datetime) -> None:
        """Insert metadata and payloads.

        Matches nothing; a key that exists raises DuplicateKeyError and, in a transaction,
        undoes all of it: the first writer of a key wins.
        """
        apart = [
            {"_id": event.key, "body": body} for event, body in events if len(body) > BODY_BYTES
        ]
        insert(self._payloads, apart, self._session)
        insert(
            self._events,
            [row_of(event, body, received_at) for event, body in events],
            self._session,
        )

    def load(self, keys: Collection[str]) -> dict[str, EventRecord]:
        """The events of these keys, by key; unknown keys are absent.

        Large payloads are read together, in one query, when the first of them is looked at.
        """
        among = {"_id": {"$in": list(keys)}}
        found = self._events.find(among, session=self._session, batch_size=ROUND_TRIP)
        return self._records(list(found))

    def of_entity(self, tenant: str, entity_id: str) -> dict[str, EventRecord]:
        """The events of one entity, by key; payloads as in `load`."""
        matching = {
            "slot": slot_of(tenant, entity_id),
            "tenant": tenant,
            "entity_id": entity_id,
        }
        found = self._events.find(matching, session=self._session, batch_size=ROUND_TRIP)
        return self._records(list(found))

    def first_of_entity(self, tenant: str, entity_id: str, *, limit: int) -> dict[str, EventRecord]:
        """So many events of one entity at the most, by key and in no order; as `of_entity`."""
        matching = {"slot": slot_of(tenant, entity_id), "tenant": tenant, "entity_id": entity_id}
        found = self._events.find(matching, session=self._session, batch_size=ROUND_TRIP)
        return self._records(list(found.limit(limit)))

    def one_before(self, event: Event) -> EventRecord | None:
        """The event of its entity that comes before it in their order; payload as in `load`.

        MongoDB sorts the entity's events, up to this one.
        """
        matching = {
            "slot": slot_of(event.tenant, event.entity_id),
            "tenant": event.tenant,
            "entity_id": event.entity_id,
            "occurred_at": {"$lte": event.occurred_at},
        }
        found = self._events.find(matching, session=self._session, batch_size=ROUND_TRIP)
        # As `event.order` sorts; those of its moment that come after it are passed over.
        order = [("occurred_at", DESCENDING), ("seq", DESCENDING), ("_id", DESCENDING)]
        for doc in found.sort(order).limit(SAME_MOMENT):
            (record,) = self._records([doc]).values()
            if record.event.order < event.order:
                return record
        return None

    def voided_of(self, entities: Collection[tuple[str, str]]) -> list[Event]:
        """The events of these entities, by tenant and id, that were taken back."""
        voided = {"voided": {"$exists": True}}
        ranges = [{"tenant": tenant, "entity_id": id_, **voided} for tenant, id_ in entities]
        found = self._events.find({"$or": ranges}, session=self._session, batch_size=ROUND_TRIP)
        return [record.event for record in self._records(list(found)).values()]

    def of_slots(
        self, slots: range, after: Entity | None, least: int
    ) -> tuple[dict[str, EventRecord], Entity | None]:
        """Events of whole entities whose slots are in the range, in an order of their own.

        Args:
            slots: which entities.
            after: goes on after this one; None begins with the first.
            least: reads on until there are so many events, and then to the end of the entity.

        Returns:
            The events by key, and the last entity; None where there is nothing left after it.
        """
        found: list[dict[str, Any]] = []
        last: Entity | None = None
        for ranged in _beyond(slots, after):
            cursor = self._events.find(ranged, session=self._session, batch_size=ROUND_TRIP)
            for doc in cursor.sort(_BY_ENTITY).hint(_BY_ENTITY):
                entity = Entity(doc["slot"], doc["tenant"], doc["entity_id"])
                if entity != last and len(found) >= least:
                    cursor.close()
                    return self._records(found), last
                found.append(doc)
                last = entity
        return self._records(found), None

    def matching(self, wanted: Callable[[str], bool], limit: int) -> dict[str, EventRecord]:
        """The events of the types that are wanted, up to so many, by key; a full pass."""
        found = self._events.find({"_id": {"$gt": ""}}, session=self._session, batch_size=SCANNED)
        return self._records(list(islice((doc for doc in found if wanted(doc["type"])), limit)))

    def _records(self, docs: Sequence[dict[str, Any]]) -> dict[str, EventRecord]:
        apart = self._reader([doc["_id"] for doc in docs if "body" not in doc])
        return {doc["_id"]: record_of(doc, apart) for doc in docs}

    def unread(self, records: Mapping[str, EventRecord]) -> dict[str, EventRecord]:
        """The same records with their payloads not yet read, as `load` returns them."""
        return with_payloads(records, self._reader(keys_apart(records)))

    def with_payloads(self, records: Mapping[str, EventRecord]) -> dict[str, EventRecord]:
        """The same records with their payloads read now, so that no handler has to wait for them.

        What MongoDB has to say of it is said here, and is not taken for a handler's fault.
        """
        bodies = dict(self._bodies(keys_apart(records)))
        return with_payloads(records, partial(payload_of, bodies))

    def _reader(self, keys: Collection[str]) -> ReadPayload:
        """Reads payloads that stand apart; all of these when the first of them is asked for."""
        bodies: dict[str, bytes] | None = None

        def payload(key: str) -> dict[str, Any]:
            nonlocal bodies
            if bodies is None:
                bodies = dict(self._bodies(keys))
            return payload_of(bodies, key)

        return payload

    def _bodies(self, keys: Collection[str]) -> Iterator[tuple[str, bytes]]:
        if not keys:
            return iter(())
        found = self._payloads.find(
            {"_id": {"$in": list(keys)}}, session=self._session, batch_size=ROUND_TRIP
        )
        return ((doc["_id"], doc["body"]) for doc in found)

    def known(self, keys: Collection[str]) -> set[str]:
        """Which of these keys are stored."""
        among = {"_id": {"$in": list(keys)}}
        return {d["_id"] for d in self._events.find(among, {"_id": 1}, session=self._session)}

    def note_repeats(self, copies: Iterable[str], conflicts: Iterable[str]) -> None:
        """Count, on the events themselves, that they were sent again.

        Adds one per key and call, whoever else counts at the same time.
        """
        again = {"$set": {"repeated": True}}
        bump = [UpdateOne({"_id": key}, {"$inc": {"copies": 1}, **again}) for key in copies]
        bump += [UpdateOne({"_id": key}, {"$inc": {"conflicts": 1}, **again}) for key in conflicts]
        if bump:
            self._events.bulk_write(bump, ordered=False, session=self._session)

    def void(self, key: str, note: Voided | None) -> None:
        """Note on an event that it was taken back, or with None that it was not.

        Of two transactions that decide about one event the second conflicts.
        """
        change = {"$unset": {"voided": ""}} if note is None else {"$set": {"voided": stored(note)}}
        self._events.update_one({"_id": key}, change, session=self._session)

    def keys_of(self, event_id: str, limit: int = 20) -> list[str]:
        """The keys that carry this event id, in any tenant and source, or this very key.

        Reads the range of `_id` that begins with `event_id@`, so it needs no index of its own.
        """
        prefix = f"{event_id}@"
        ranged = {"_id": {"$gte": prefix, "$lt": f"{event_id}A"}}
        found = [
            doc["_id"]
            for doc in self._events.find(ranged, {"_id": 1}, session=self._session).limit(limit)
            if event_id_of(doc["_id"]) == event_id
        ]
        return found + sorted(self.known([event_id]))

    def beginning_with(self, text: str, limit: int) -> list[str]:
        """The first keys that begin with this text; a range of `_id`."""
        ranged = {"_id": {"$gte": text, "$lt": f"{text}{LAST_CHARACTER}"}}
        found = self._events.find(ranged, {"_id": 1}, session=self._session)
        return [doc["_id"] for doc in found.sort("_id", ASCENDING).limit(limit)]

    def entities_among(self, entities: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
        """Which of these, by tenant and id, something has happened to; a look at the index each."""
        ranges = [
            {"slot": slot_of(tenant, id_), "tenant": tenant, "entity_id": id_}
            for tenant, id_ in entities
        ]
        if not ranges:
            return []
        groups = self._events.aggregate(
            [
                {"$match": {"$or": ranges}},
                {"$group": {"_id": {"tenant": "$tenant", "entity_id": "$entity_id"}}},
            ],
            session=self._session,
        )
        return sorted((row["_id"]["tenant"], row["_id"]["entity_id"]) for row in groups)

    def newest(self, limit: int) -> dict[str, EventRecord]:
        """Those stored last, the last one first; payloads as in `load`.

        MongoDB keeps a collection in the order in which it was written, so this needs no
        index; two that were written at once may stand in either order.
        """
        found = self._events.find(session=self._session).sort("$natural", -1).limit(limit)
        return self._records(list(found))

    def last_of(self, keys: Collection[str]) -> datetime | None:
        """When the last of these events happened; None where none of them is known."""
        among = {"_id": {"$in": list(keys)}}
        found = self._events.find(among, {"occurred_at": 1}, session=self._session)
        last = next(iter(found.sort("occurred_at", DESCENDING).limit(1)), None)
        return None if last is None else in_utc(last["occurred_at"])

    def count(self) -> int:
        """How many events are stored, from the collection's own count."""
        return self._events.estimated_document_count()

    def repeats(self) -> tuple[int, int]:
        """How many copies and how many conflicting copies were turned away, in all."""
        by_tenant = self.repeats_by_tenant().values()
        return sum(copies for copies, _ in by_tenant), sum(other for _, other in by_tenant)

    def repeats_by_tenant(self, tenant: str | None = None) -> dict[str, tuple[int, int]]:
        """How many copies and conflicting copies were turned away, by tenant, or of this one."""
        matching = {"repeated": True} | ({} if tenant is None else {"tenant": tenant})
        sums = self._events.aggregate(
            [
                {"$match": matching},
                {
                    "$group": {
                        "_id": "$tenant",
                        "copies": {"$sum": "$copies"},
                        "conflicts": {"$sum": "$conflicts"},
                    }
                },
                {"$sort": {"_id": 1}},
            ],
            session=self._session,
        )
        return {row["_id"]: (row["copies"], row["conflicts"]) for row in sums}


def _beyond(slots: range, after: Entity | None) -> list[dict[str, Any]]:
    """What lies beyond an entity in these slots, as ranges of the index in their order.

    As one condition with $or it reads well, but MongoDB may begin at the beginning with it.
    """
    if after is None:
        return [{"slot": {"$gte": slots.start, "$lt": slots.stop}}]
    slot, tenant, entity_id = after
    return [
        {"slot": slot, "tenant": tenant, "entity_id": {"$gt": entity_id}},
        {"slot": slot, "tenant": {"$gt": tenant}},
        {"slot": {"$gt": slot, "$lt": slots.stop}},
    ]
