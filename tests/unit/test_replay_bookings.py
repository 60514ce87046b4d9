"""The sequential run of all hotel bookings, against truths counted from the file itself."""

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from pipeline.event import Event
from pipeline.registry import load
from pipeline.replay import Tables, replay
from tests.integration.test_hotel_bookings import BOOKINGS

pytestmark = [
    pytest.mark.uncounted,
    pytest.mark.skipif(
        not BOOKINGS.exists(),
        reason="no hotel_bookings.ndjson.gz in ../shared/data (or PIPELINE_SHARED_DATA)",
    ),
]

EVENTS = 238_780
BOOKED = 119_390
ENDS = {"checked_out": 75_166, "canceled": 43_017, "no_show": 1_207}


@pytest.fixture(scope="module")
def tables() -> Tables:
    """Give the tables after all events, submitted in disorder, a tenth of them twice."""
    with gzip.open(BOOKINGS) as file:
        events = [Event.model_validate_json(line) for line in file]
    draw = random.Random(11)
    arrivals = events + draw.sample(events, len(events) // 10)
    draw.shuffle(arrivals)
    return replay(load(["handlers.appointments"]), arrivals)


def test_every_event_is_run_once_and_none_fails(tables: Tables) -> None:
    """Copies are dropped."""
    assert (tables.events, tables.repeated, tables.failures) == (EVENTS, EVENTS // 10, [])


def test_every_booking_ends_in_the_status_of_its_last_event(tables: Tables) -> None:
    """The last by the source's own sequence, ties in time included."""
    last: dict[str, tuple[int, str]] = {}
    with gzip.open(BOOKINGS) as file:
        for event in map(json.loads, file):
            booking = f"{event['tenant']}:{event['entity_id']}"
            last[booking] = max(last.get(booking, (-1, "")), (event["seq"], event["type"]))
    found = {document["_id"]: document["status"] for document in documents(tables)}
    assert found == {booking: kind.removeprefix("booking.") for booking, (_, kind) in last.items()}
    assert Counter(found.values()) == ENDS


def documents(tables: Tables) -> Iterator[dict[str, Any]]:
    """The appointments."""
    return (document for _, document in tables["rs_appointments"].entries())


def test_totals_of_tenants_come_to_the_same(tables: Tables) -> None:
    """Appointments, changes, and how many stand in each status."""
    totals = list(tables.documents("rs_tenant_totals").values())
    assert sum(total["appointments"] for total in totals) == BOOKED
    assert sum(total["changes"] for total in totals) == EVENTS
    standing: Counter[str] = Counter()
    for total in totals:
        standing.update(total["standing"])
    assert standing == ENDS | {"scheduled": 0}


def test_conversions_come_to_the_same(tables: Tables) -> None:
    """Every booking was scheduled once and ended once."""
    outcomes: Counter[str] = Counter()
    for document in tables.documents("rs_lead_global_conversions").values():
        outcomes.update(document["outcomes"])
    assert outcomes == ENDS | {"scheduled": BOOKED}


def test_every_event_has_a_row_and_validities_meet(tables: Tables) -> None:
    """Without gap or overlap, to the end of time."""
    ends: dict[str, datetime | None] = {}
    for _, row in tables["rs_appointment_changes"].entries():
        assert ends.get(row["key"], row["valid_from"]) == row["valid_from"]
        ends[row["key"]] = row["valid_to"]
    assert set(ends.values()) == {None}
    assert (len(tables["rs_appointment_changes"]), len(ends)) == (EVENTS, BOOKED)
