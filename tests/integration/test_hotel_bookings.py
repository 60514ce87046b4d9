"""A slice of real hotel bookings, against the truth recalculated in plain Python."""

import gzip
import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient

from pipeline.event import Event, parse_event
from pipeline.registry import load
from tests.integration.harness import NOW, Harness

Document = dict[str, Any]

BESIDE: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
BOOKINGS: Final = Path(os.environ.get("PIPELINE_SHARED_DATA", BESIDE)) / "hotel_bookings.ndjson.gz"
ENTITIES: Final = 2000

pytestmark = pytest.mark.skipif(
    not BOOKINGS.exists(),
    reason="no hotel_bookings.ndjson.gz in ../shared/data (or PIPELINE_SHARED_DATA)",
)


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """All events of every 59th entity, to the number wanted, in the order of the file."""
    picked: set[str] = set()
    kept = []
    with gzip.open(BOOKINGS) as file:
        for line in file:
            entity = json.loads(line)["entity_id"]
            if int(entity[1:]) % 59 == 0 and (entity in picked or len(picked) < ENTITIES):
                picked.add(entity)
                kept.append(line)
    assert len(picked) == ENTITIES
    return kept


@pytest.fixture(scope="module", params=["in order", "shuffled with duplicates"])
def bookings(
    request: pytest.FixtureRequest, mongo: MongoClient[Document], lines: list[bytes]
) -> Iterator[Harness]:
    """Give the pipeline after it has taken all of the slice."""
    draw = random.Random(7)
    arrivals = list(lines)
    shuffled = request.param != "in order"
    if shuffled:
        arrivals += draw.sample(lines, len(lines) // 10)
        draw.shuffle(arrivals)
    name = f"test_bookings_{request.param_index}"
    mongo.drop_database(name)
    harness = Harness(mongo, name, load(["handlers.appointments"]))
    for at in range(0, len(arrivals), 500):
        harness.submit(*map(parsed, arrivals[at : at + 500]))
        harness.drain(draw if shuffled else None)
    yield harness
    mongo.drop_database(name)


def parsed(line: bytes) -> Event:
    """The event of a line."""
    return parse_event(line, now=NOW, max_skew=timedelta(days=1))


def stories(lines: list[bytes]) -> dict[tuple[str, str], list[Document]]:
    """The events of each booking, in the source's own order."""
    found: dict[tuple[str, str], list[Document]] = defaultdict(list)
    for event in map(json.loads, lines):
        found[event["tenant"], event["entity_id"]].append(event)
    for events in found.values():
        events.sort(key=lambda event: event["seq"])
    return found


def status(event: Document) -> str:
    """The status that an event brings."""
    word = event["type"].removeprefix("booking.")
    return "scheduled" if word == "created" else str(word)


def test_every_booking_ends_in_the_status_of_its_last_event(
    bookings: Harness, lines: list[bytes]
) -> None:
    """The truth is the last by the source's sequence, ties in time included."""
    expected = {
        f"{tenant}:{entity}": status(events[-1])
        for (tenant, entity), events in stories(lines).items()
    }
    found = bookings.store.database["rs_appointments"].find()
    assert {doc["_id"]: doc["status"] for doc in found} == expected


def test_tenant_totals_equal_the_recalculation(bookings: Harness, lines: list[bytes]) -> None:
    """Appointments, changes, and how many stand where."""
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for (tenant, _), events in stories(lines).items():
        expected[tenant]["appointments"] += 1
        expected[tenant]["changes"] += len(events)
        expected[tenant][status(events[-1])] += 1
    found = {
        doc["_id"]: Counter(
            {"appointments": doc["appointments"], "changes": doc["changes"]} | doc["standing"]
        )
        for doc in bookings.store.database["rs_tenant_totals"].find()
    }
    assert found == expected


def test_conversions_equal_the_recalculation(bookings: Harness, lines: list[bytes]) -> None:
    """Each status a booking came to counts for the lead and channel it had by then."""
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for (tenant, _), events in stories(lines).items():
        lead = channel = "none"
        before = None
        for event in events:
            payload = event["payload"]
            lead = payload.get("agent") or payload.get("company") or lead
            channel = payload.get("distribution_channel") or channel
            now = status(event)
            expected[f"{tenant}:{lead}:{channel}"][now] += now != before
            before = now
    found = {
        doc["_id"]: Counter(doc["outcomes"])
        for doc in bookings.store.database["rs_lead_global_conversions"].find()
    }
    assert found == {key: outcomes for key, outcomes in expected.items() if outcomes.total()}


def test_every_event_left_one_row_and_validities_meet(
    bookings: Harness, lines: list[bytes]
) -> None:
    """The temporal table tells each booking's whole story, without gap or overlap."""
    chains: dict[str, list[Document]] = defaultdict(list)
    for row in bookings.store.database["rs_appointment_changes"].find().sort("_id"):
        chains[row["key"]].append(row)
    assert sum(map(len, chains.values())) == len(lines)
    for chain in chains.values():
        ends = [row["valid_to"] for row in chain]
        assert ends == [*(row["valid_from"] for row in chain[1:]), None]


def test_copies_are_counted_and_nothing_is_left_to_do(
    bookings: Harness, lines: list[bytes]
) -> None:
    """The tenth that was sent twice is known as such."""
    copies, conflicts = bookings.store.records.events.repeats()
    assert (copies, conflicts) in {(0, 0), (len(lines) // 10, 0)}
    assert bookings.store.records.batches.idle()
    assert bookings.store.records.ledger.in_trouble() == {}
