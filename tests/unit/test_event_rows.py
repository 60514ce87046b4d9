"""An event comes back from its row as it was."""

from datetime import UTC, datetime, timedelta

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import Event
from pipeline.clock import to_milliseconds
from pipeline.errors import PayloadExpired
from pipeline.event import EARLIEST, LATEST, encode_payload
from pipeline.store.event_rows import (
    AS_ROWS,
    BODY_BYTES,
    EventRecord,
    Voided,
    payload_of,
    record_of,
    row_of,
    stored,
    with_payloads,
)
from pipeline.tables import CODEC

MOMENTS = st.datetimes(
    EARLIEST.replace(tzinfo=None), (LATEST - timedelta(days=1)).replace(tzinfo=None)
).map(lambda moment: to_milliseconds(moment.replace(tzinfo=UTC)))


NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def event_at(moment: datetime, by: str = "kim") -> Event:
    """An event of that moment."""
    return Event(
        event_id="one",
        tenant="acme",
        source="desk",
        type="ticket.opened",
        entity_id="7",
        occurred_at=moment,
        payload={"by": by},
    )


def read_back(event: Event, received_at: datetime, note: Voided | None = None) -> EventRecord:
    """The record that MongoDB's own encoding of the event's row gives."""
    row = row_of(event, encode_payload(event.payload), received_at)
    if note is not None:
        row["voided"] = stored(note)
    return record_of(bson.decode(bson.encode(row, codec_options=CODEC), AS_ROWS), nothing_apart)


def nothing_apart(key: str) -> dict[str, object]:
    """No payload stands apart."""
    return payload_of({}, key)


@given(MOMENTS, MOMENTS, MOMENTS)
def test_moments_come_back_as_they_were_and_in_the_zone_that_is_compared_fast(
    happened: datetime, received: datetime, voided: datetime
) -> None:
    """BSON keeps no zone; whatever is put off by it is an hour or more off."""
    event = event_at(happened)
    record = read_back(event, received, Voided(voided, "kim", "by mistake"))
    assert record.voided is not None
    found = [record.event.occurred_at, record.received_at, record.voided.at]
    assert found == [happened, received, voided]
    assert all(moment.tzinfo is UTC for moment in found)
    assert record.event.order == event.order


def test_a_record_whose_payload_is_unread_gives_a_payload_of_its_own() -> None:
    """What a handler does to its payload is not seen by the next one."""
    event = event_at(NOON)
    before = {event.key: read_back(event, event.occurred_at)}
    before[event.key].event.payload["by"] = "somebody else"
    after = with_payloads(before, nothing_apart)
    assert after[event.key].event.payload == {"by": "kim"}
    assert before[event.key].event.payload == {"by": "somebody else"}
    assert after[event.key][1:] == before[event.key][1:]
    assert after[event.key].event.order == event.order


def test_a_large_payload_that_is_stored_no_longer_is_told_when_it_is_looked_at() -> None:
    """And not when the record is made: most who read it want the rest."""
    record = read_back(event_at(NOON, by="kim" * BODY_BYTES), NOON)
    assert record.event.occurred_at == NOON
    with pytest.raises(PayloadExpired, match="one@acme/desk"):
        record.event.payload  # noqa: B018 - looking at it reads it


def test_a_record_that_is_read_anew_differs_in_nothing_but_an_unread_payload() -> None:
    """What was seen of the event's copies and of its undoing stays with it, field by field."""
    note = Voided(NOON, "ann", "twice", ["row"])
    before = read_back(event_at(NOON), NOON, note)._replace(copies=3, conflicts=1)
    assert before.event.payload == {"by": "kim"}
    after = with_payloads({"key": before}, nothing_apart)["key"]
    assert after._replace(event=before.event) == before
    assert (after.copies, after.conflicts, after.voided) == (3, 1, note)
    assert "payload" not in after.event.__dict__
    assert after.event.model_fields_set == set(Event.model_fields)
