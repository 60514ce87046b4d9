"""The documents that our product writes for a batch of events, made by the shortest way.

What the product keeps of an event: metadata, payload, the appointment as it stands, a row of its
history, a ledger row for each of three handlers, what the event adds to two counters, and the
records of the two batches that it was in. Here they come without its queue, its registry, its
leases and its healing, so for events in their order only. `tests/acceptance/test_limit.py` holds
these documents to those of the product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pydantic_core

from benchmarks.peers.work import Message, fact_of
from pipeline.event import order_of
from pipeline.slots import slot_of
from pipeline.store.batches import batch_id
from pipeline.store.event_rows import BODY_BYTES

Document = dict[str, Any]

APPLY: Final = "appointments.apply"
CONVERSIONS: Final = "conversions.count"
TENANTS: Final = "tenants.count"
OBSERVERS: Final = f"{CONVERSIONS}+{TENANTS}"
FENCE: Final = 2**40
"""Nobody else writes; the number is as long as those of leases are."""
UNKNOWN: Final = {"status": "unknown", "lead": "none", "channel": "none", "starts_at": None}


@dataclass
class Documents:
    """What is to be written.

    Attributes:
        inserted: by collection, new documents.
        appointments: by id, whole documents, new or not.
        closed: by id of a row that was there before, the time at which its validity ends.
        added: by collection and id, what is added to a counter.
    """

    inserted: dict[str, list[Document]] = field(default_factory=dict)
    appointments: dict[str, Document] = field(default_factory=dict)
    closed: dict[str, datetime] = field(default_factory=dict)
    added: dict[str, dict[str, Document]] = field(default_factory=dict)


def documents_of(
    events: Sequence[Message], stood: Mapping[str, Document], read_at: datetime
) -> Documents:
    """What our product would keep of these events, all of them done.

    Args:
        events: in their order.
        stood: by id, the appointments that are there, as they are.
        read_at: when they were read.

    Raises:
        ValueError: an event is older than what its appointment has seen.
    """
    return _Maker(events, stood, read_at).made()


class _Maker:
    def __init__(
        self, events: Sequence[Message], stood: Mapping[str, Document], read_at: datetime
    ) -> None:
        self._events = events
        self._stood = stood
        self._stamp = {"read_at": read_at, "write_at": datetime.now(UTC)}
        keys = [event["key"] for event in events]
        self._jobs = {name: batch_id(name, keys) for name in (APPLY, OBSERVERS)}
        self._metadata: list[Document] = []
        self._payloads: list[Document] = []
        self._rows: dict[str, Document] = {}
        self._ledger: list[Document] = []
        self._documents = Documents(
            added={"rs_lead_global_conversions": {}, "rs_tenant_totals": {}}
        )

    def made(self) -> Documents:
        for event in self._events:
            self._keep(event)
            self._apply(event)
        self._documents.inserted = {
            "events": self._metadata,
            "payloads": self._payloads,
            "rs_appointment_changes": list(self._rows.values()),
            "ledger": self._ledger,
            "batches": [self._batch(APPLY, "actions"), self._batch(OBSERVERS, "observers")],
        }
        return self._documents

    def _keep(self, event: Message) -> None:
        body = pydantic_core.to_json(event["payload"])
        small = len(body) <= BODY_BYTES
        if not small:
            self._payloads.append({"_id": event["key"], "body": body})
        self._metadata.append(
            {
                "_id": event["key"],
                "tenant": event["tenant"],
                "source": event["source"],
                "type": event["type"],
                "entity_id": event["entity_id"],
                "slot": slot_of(event["tenant"], event["entity_id"]),
                "seq": event["seq"],
                "occurred_at": datetime.fromisoformat(event["occurred_at"]),
                "received_at": self._stamp["read_at"],
                **({"body": body} if small else {}),
            }
        )

    def _apply(self, event: Message) -> None:
        fact = fact_of(event)
        key, order = fact.appointment, order_of(fact.at, event["seq"], fact.key)
        before = self._documents.appointments.get(key) or self._stood.get(key)
        was = None if before is None else {name: before[name] for name in UNKNOWN}
        state = {**(was or UNKNOWN), **fact.said}
        prev = None if before is None else before["_sync"]["order"]
        if prev is not None and prev >= order:
            raise ValueError(f"{fact.key} is late; the limit takes events in their order only")
        self._documents.appointments[key] = {
            "_id": key,
            **state,
            "_sync": {"order": order, "event_at": fact.at, **self._stamp, "fence": FENCE},
        }
        self._add_row(key, order, prev, fact.at, fact.key, state, was)
        moved = state if was is None else _moved(was, state)
        self._book(fact.key, APPLY, key, {"set": moved}, recomputable=True)
        self._count(fact.tenant, fact.key, fact.at, state, was)

    def _add_row(
        self,
        key: str,
        order: str,
        prev: str | None,
        at: datetime,
        event: str,
        state: Document,
        was: Document | None,
    ) -> None:
        if prev is not None:
            last = self._rows.get(f"{key}|{prev}")
            if last is None:
                self._documents.closed[f"{key}|{prev}"] = at
            else:
                last["valid_to"] = at
        changed = None if was is None else {name: was[name] for name in _moved(was, state)}
        self._rows[f"{key}|{order}"] = {
            "_id": f"{key}|{order}",
            "key": key,
            "event": event,
            "prev": prev,
            "valid_from": at,
            "valid_to": None,
            "state": state,
            "changed": changed,
            "_sync": {"event_at": at, **self._stamp},
        }

    def _count(
        self, tenant: str, event: str, at: datetime, state: Document, was: Document | None
    ) -> None:
        status, before = state["status"], None if was is None else was["status"]
        if status == before:
            self._book(event, CONVERSIONS, None, {})
        else:
            lead, channel = state["lead"], state["channel"]
            key, outcome = f"{tenant}:{lead}:{channel}", {f"outcomes.{status}": 1}
            wrote = {"inc": outcome, "min": {"first_at": at}, "max": {"last_at": at}}
            self._book(event, CONVERSIONS, key, wrote, recomputable=True)
            identity = {"tenant": tenant, "lead": lead, "channel": channel}
            counter = self._counter("rs_lead_global_conversions", key, identity, at)
            _add(counter, outcome)
            counter["$min"]["first_at"] = min(at, counter["$min"].get("first_at", at))
            counter["$max"]["last_at"] = max(at, counter["$max"].get("last_at", at))
        moves = _standing(before, status)
        self._book(event, TENANTS, tenant, {"inc": moves})
        _add(self._counter("rs_tenant_totals", tenant, {"tenant": tenant}, at), moves)

    def _counter(self, table: str, key: str, identity: Document, at: datetime) -> Document:
        """What is added to a counter by this batch, with one more contribution."""
        empty = {
            "$inc": {"_sync.contributions": 0},
            "$min": {},
            "$max": {"_sync.event_at": at},
            "$set": {f"_sync.{name}": moment for name, moment in self._stamp.items()},
            "$setOnInsert": identity,
        }
        counter = self._documents.added[table].setdefault(key, empty)
        counter["$inc"]["_sync.contributions"] += 1
        counter["$max"]["_sync.event_at"] = max(at, counter["$max"]["_sync.event_at"])
        return counter

    def _book(
        self,
        event: str,
        handler: str,
        key: str | None,
        wrote: Document,
        *,
        recomputable: bool = False,
    ) -> None:
        row = {
            "_id": f"{event}|{handler}",
            "state": "done" if key else "skipped",
            "key": key,
            "job": self._jobs[APPLY if handler == APPLY else OBSERVERS],
            "write_at": self._stamp["write_at"],
            "lag_ms": 0,
            "wrote": wrote,
        }
        if recomputable:
            row |= {"recomputable": True, "handler": handler}
        self._ledger.append(row)

    def _batch(self, handler: str, lane: str) -> Document:
        read_at, write_at = self._stamp["read_at"], self._stamp["write_at"]
        batch = {
            "_id": self._jobs[handler],
            "handler": handler,
            "lane": lane,
            "attempt": 0,
            "created_at": read_at,
            "done": True,
            "worker": "limit",
            "read_at": read_at,
            "written_at": write_at,
        }
        return batch | ({"locked_at": read_at, "fence": FENCE} if handler == APPLY else {})


def _moved(was: Document, state: Document) -> Document:
    """The fields that are another now."""
    return {name: value for name, value in state.items() if was[name] != value}


def _standing(before: str | None, status: str) -> dict[str, int]:
    """What an appointment's move adds to its tenant's totals."""
    if before is None:
        return {f"standing.{status}": 1, "appointments": 1, "changes": 1}
    if before == status:
        return {"changes": 1}
    return {f"standing.{before}": -1, f"standing.{status}": 1, "changes": 1}


def _add(counter: Document, amounts: Mapping[str, int]) -> None:
    sums = counter["$inc"]
    for path, amount in amounts.items():
        sums[path] = sums.get(path, 0) + amount
