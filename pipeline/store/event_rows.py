"""An event as a row of `events`, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple

from bson.codec_options import CodecOptions

from pipeline.errors import PayloadExpired
from pipeline.event import Event, StoredEvent, decode_payload, event_id_of
from pipeline.slots import slot_of

AS_ROWS: Final[CodecOptions[dict[str, Any]]] = CodecOptions(document_class=dict)
"""Moments come without a zone, and get theirs here. BSON's own is written in Python and asked at
each comparison and each writing, which was a tenth of all that a worker did."""

ReadPayload = Callable[[str], dict[str, Any]]
"""From an event key to the payload."""

BODY_BYTES: Final = 1024
"""The largest payload that stands in its event's own row."""


class Voided(NamedTuple):
    """That a person took an event back.

    Attributes:
        at: when.
        by: who.
        reason: why, in one sentence.
        fallen: ids of ledger rows: what could not be applied any more without the event.
    """

    at: datetime
    by: str
    reason: str
    fallen: Sequence[str] = ()


class EventRecord(NamedTuple):
    """An event as it is stored.

    Attributes:
        event: the event; its payload is read when it is looked at.
        received_at: when we received it.
        copies: how often it was sent again.
        conflicts: how often it was sent again with another content.
        voided: that it was undone, if it was.
        body: its payload as it is stored, where that stands in the event's own row.
    """

    event: Event
    received_at: datetime
    copies: int
    conflicts: int
    voided: Voided | None = None
    body: bytes | None = None


def keys_apart(records: Mapping[str, EventRecord]) -> list[str]:
    """The keys of those whose payloads stand apart from them."""
    return [key for key, record in records.items() if record.body is None]


def with_payloads(records: Mapping[str, EventRecord], apart: ReadPayload) -> dict[str, EventRecord]:
    """The same records, their payloads not yet read; `apart` reads those that stand apart."""
    return {key: _read_anew(record, apart) for key, record in records.items()}


def _read_anew(record: EventRecord, apart: ReadPayload) -> EventRecord:
    # By place, as all that a fold hands on comes here: `_replace` takes twice the time.
    _, received_at, copies, conflicts, voided, body = record
    event = _event(record.event.envelope(), body, apart)
    return EventRecord(event, received_at, copies, conflicts, voided, body)


def _event(envelope: dict[str, Any], body: bytes | None, apart: ReadPayload) -> Event:
    return StoredEvent.of(envelope, apart if body is None else partial(_decoded, body))


def _decoded(body: bytes, _key: str) -> dict[str, Any]:
    return decode_payload(body)


def payload_of(bodies: Mapping[str, bytes], key: str) -> dict[str, Any]:
    """The payload of an event among bodies that were read.

    Raises:
        PayloadExpired: there is none.
    """
    if key not in bodies:
        raise PayloadExpired(f"the payload of {key} is stored no longer")
    return decode_payload(bodies[key])


def row_of(event: Event, body: bytes, received_at: datetime) -> dict[str, Any]:
    """The row of an event that has just come; its payload is in it if it is small."""
    row = {
        "_id": event.key,
        "tenant": event.tenant,
        "source": event.source,
        "type": event.type,
        "entity_id": event.entity_id,
        "slot": slot_of(event.tenant, event.entity_id),
        "seq": event.seq,
        "occurred_at": event.occurred_at,
        "received_at": received_at,
    }
    if len(body) <= BODY_BYTES:
        row["body"] = body
    return row


def stored(note: Voided) -> dict[str, Any]:
    """The note as it stands in the row."""
    return {**note._asdict(), "fallen": list(note.fallen)}


def in_utc(moment: datetime) -> datetime:
    """A moment that came without a zone."""
    # A fifth of the time that `replace` takes.
    return datetime.combine(moment, moment.time(), UTC)


def record_of(doc: dict[str, Any], apart: ReadPayload) -> EventRecord:
    """The event of a row, which is used up; `apart` reads a payload that stands apart."""
    key, body = doc.pop("_id"), doc.pop("body", None)
    received_at = in_utc(doc.pop("received_at"))
    copies, conflicts = doc.pop("copies", 0), doc.pop("conflicts", 0)
    doc.pop("repeated", None)
    doc.pop("slot", None)
    voided = doc.pop("voided", None)
    doc["occurred_at"] = in_utc(doc["occurred_at"])
    doc["key"], doc["event_id"] = key, event_id_of(key)
    return EventRecord(
        _event(doc, body, apart),
        received_at,
        copies,
        conflicts,
        Voided(**voided | {"at": in_utc(voided["at"])}) if voided else None,
        body,
    )
