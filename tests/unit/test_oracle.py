"""The recalculation: right on flights worked out by hand, and awake to every planted fault."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from benchmarks.oracle import Expected, differences, expected_tables

Document = dict[str, Any]

# One arrives, one is cancelled, one is diverted, and one of the same route arrives a day later.
FLIGHTS = """\
year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,\
carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour
2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z
2013,1,1,NA,1630,NA,NA,1815,NA,UA,4308,NA,EWR,IAH,NA,416,16,30,2013-01-01T21:00:00Z
2013,1,1,1525,1530,-5,1934,1805,NA,MQ,4525,N719MQ,LGA,XNA,NA,1147,15,30,2013-01-01T20:00:00Z
2013,1,2,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-02T10:00:00Z
"""
SYNC = {"order": "the framework's", "contributions": 1}


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """Give a moment of January 2013."""
    return datetime(2013, 1, day, hour, minute, tzinfo=UTC)


def appointment(key: str, status: str, route: str, starts_at: datetime) -> Document:
    """Give an appointment as the pipeline stores it."""
    channel, lead = route.split("-")
    fields = {"status": status, "lead": lead, "channel": channel, "starts_at": starts_at}
    return {"_id": key, **fields, "_sync": SYNC}


def changes(
    key: str, flight: str, route: str, starts_at: datetime, facts: list[tuple[str, datetime]]
) -> list[Document]:
    """Give the rows of one appointment as the pipeline stores them."""
    tenant = key.partition(":")[0]
    channel, lead = route.split("-")
    rows: list[Document] = []
    orders: list[str] = []
    for seq, (status, when) in enumerate(facts):
        event = f"{flight}-{seq}@{tenant}/airline"
        orders.append(f"{when:%Y%m%dT%H%M%S}.000~a{seq}~{event}")
        rows.append(
            {
                "_id": f"{key}|{orders[seq]}",
                "key": key,
                "event": event,
                "prev": orders[seq - 1] if seq else None,
                "valid_from": when,
                "valid_to": facts[seq + 1][1] if seq + 1 < len(facts) else None,
                "state": {
                    "status": status,
                    "lead": lead,
                    "channel": channel,
                    "starts_at": starts_at,
                },
                "changed": {"status": facts[seq - 1][0]} if seq else None,
                "_sync": SYNC,
            }
        )
    return rows


ONE, CALLED_OFF, AWAY, TWO = (
    "UA:2013-01-01-UA1545-EWR",
    "UA:2013-01-01-UA4308-EWR",
    "MQ:2013-01-01-MQ4525-LGA",
    "UA:2013-01-02-UA1545-EWR",
)
BY_HAND: dict[str, list[Document]] = {
    "rs_appointments": [
        appointment(ONE, "arrived", "EWR-IAH", at(1, 10, 15)),
        appointment(CALLED_OFF, "canceled", "EWR-IAH", at(1, 21, 30)),
        appointment(AWAY, "departed", "LGA-XNA", at(1, 20, 30)),
        appointment(TWO, "arrived", "EWR-IAH", at(2, 10, 15)),
    ],
    "rs_appointment_changes": [
        *changes(
            ONE,
            "UA1545-EWR-20130101",
            "EWR-IAH",
            at(1, 10, 15),
            [("scheduled", at(1, 5)), ("departed", at(1, 10, 17)), ("arrived", at(1, 14, 4))],
        ),
        *changes(
            CALLED_OFF,
            "UA4308-EWR-20130101",
            "EWR-IAH",
            at(1, 21, 30),
            [("scheduled", at(1, 5)), ("canceled", at(1, 21, 30))],
        ),
        *changes(
            AWAY,
            "MQ4525-LGA-20130101",
            "LGA-XNA",
            at(1, 20, 30),
            [("scheduled", at(1, 5)), ("departed", at(1, 20, 25))],
        ),
        *changes(
            TWO,
            "UA1545-EWR-20130102",
            "EWR-IAH",
            at(2, 10, 15),
            [("scheduled", at(2, 5)), ("departed", at(2, 10, 17)), ("arrived", at(2, 14, 4))],
        ),
    ],
    "rs_lead_global_conversions": [
        {
            "_id": "MQ:XNA:LGA",
            "tenant": "MQ",
            "lead": "XNA",
            "channel": "LGA",
            "outcomes": {"scheduled": 1, "departed": 1},
            "first_at": at(1, 5),
            "last_at": at(1, 20, 25),
            "_sync": SYNC,
        },
        {
            "_id": "UA:IAH:EWR",
            "tenant": "UA",
            "lead": "IAH",
            "channel": "EWR",
            "outcomes": {"scheduled": 3, "departed": 2, "arrived": 2, "canceled": 1},
            "first_at": at(1, 5),
            "last_at": at(2, 14, 4),
            "_sync": SYNC,
        },
    ],
    "rs_tenant_totals": [
        {
            "_id": "MQ",
            "tenant": "MQ",
            "appointments": 1,
            "changes": 2,
            # A counter that came back to zero stays; that means the same as none.
            "standing": {"scheduled": 0, "departed": 1},
            "_sync": SYNC,
        },
        {
            "_id": "UA",
            "tenant": "UA",
            "appointments": 3,
            "changes": 8,
            "standing": {"scheduled": 0, "arrived": 2, "canceled": 1},
            "_sync": SYNC,
        },
    ],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a file with the flights worked out by hand."""
    path = tmp_path / "flights.csv"
    path.write_text(FLIGHTS)
    return path


@pytest.fixture
def expected(file: Path) -> Expected:
    """Give what the recalculation makes of them."""
    return expected_tables(file)


@pytest.fixture
def filled(database: Database[Document]) -> Database[Document]:
    """Give a database that holds just what was worked out by hand."""
    for table, documents in BY_HAND.items():
        database[table].insert_many(documents)
    return database


def test_the_recalculation_agrees_with_what_was_worked_out_by_hand(
    filled: Database[Document], expected: Expected
) -> None:
    """Four tables, every document, to the last field."""
    assert differences(filled, expected) == []
    assert len(expected) == sum(map(len, BY_HAND.values()))


def test_only_the_first_flights_are_expected_where_only_they_were_sent(file: Path) -> None:
    """The others are no part of the tables."""
    expected = expected_tables(file, 2)
    keys = [document["_id"] for document in expected.documents("rs_appointments")]
    assert keys == [ONE, CALLED_OFF]
    assert len(list(expected.documents("rs_appointment_changes"))) == 5


def test_an_empty_database_misses_everything(
    database: Database[Document], expected: Expected
) -> None:
    """Nothing stored is not nothing wrong."""
    found = differences(database, expected, limit=1_000)
    assert len(found) == len(expected)
    assert all(sentence.endswith("is missing") for sentence in found)


def test_the_list_of_differences_is_bounded_and_says_so(
    database: Database[Document], expected: Expected
) -> None:
    """A million wrong documents are told by their first few."""
    found = differences(database, expected, limit=3)
    assert len(found) == 4
    assert found[-1] == "... and more"


def test_progress_counts_every_document(filled: Database[Document], expected: Expected) -> None:
    """So that a bar can be drawn."""
    told: list[int] = []
    differences(filled, expected, progress=told.append)
    assert sum(told) == len(expected)


def first_row(database: Database[Document]) -> Document:
    """Pick the filter of the first appointment's first row."""
    row = database["rs_appointment_changes"].find_one({"key": ONE, "prev": None})
    assert row is not None
    return {"_id": row["_id"]}


def wrong_status(database: Database[Document]) -> None:
    """Plant another status."""
    database["rs_appointments"].update_one({"_id": ONE}, {"$set": {"status": "departed"}})


def wrong_start(database: Database[Document]) -> None:
    """Plant a lost start."""
    database["rs_appointments"].update_one({"_id": ONE}, {"$set": {"starts_at": None}})


def missing_document(database: Database[Document]) -> None:
    """Take a document away."""
    database["rs_appointments"].delete_one({"_id": CALLED_OFF})


def missing_last(database: Database[Document]) -> None:
    """Take the last document of a table away."""
    database["rs_tenant_totals"].delete_one({"_id": "UA"})


def extra_document(database: Database[Document]) -> None:
    """Put a document in between."""
    database["rs_appointments"].insert_one({"_id": "UA:2013-01-01-UA9-EWR", "status": "arrived"})


def extra_field(database: Database[Document]) -> None:
    """Give a document a field it should not have."""
    database["rs_appointments"].update_one({"_id": ONE}, {"$set": {"gate": "B7"}})


def wrong_end(database: Database[Document]) -> None:
    """Let a row end when the next has begun already."""
    database["rs_appointment_changes"].update_one(
        first_row(database), {"$set": {"valid_to": at(1, 11)}}
    )


def open_end(database: Database[Document]) -> None:
    """Let a row that was followed by another have no end."""
    database["rs_appointment_changes"].update_one(first_row(database), {"$set": {"valid_to": None}})


def wrong_state(database: Database[Document]) -> None:
    """Let a row tell another state."""
    database["rs_appointment_changes"].update_one(
        first_row(database), {"$set": {"state.status": "arrived"}}
    )


def broken_chain(database: Database[Document]) -> None:
    """Let a row follow on none."""
    database["rs_appointment_changes"].update_one(
        {"key": ONE, "state.status": "arrived"}, {"$set": {"prev": None}}
    )


def missing_row(database: Database[Document]) -> None:
    """Take a row away."""
    database["rs_appointment_changes"].delete_one(first_row(database))


def wrong_counter(database: Database[Document]) -> None:
    """Count once too often."""
    database["rs_lead_global_conversions"].update_one(
        {"_id": "UA:IAH:EWR"}, {"$inc": {"outcomes.arrived": 1}}
    )


def unknown_counter(database: Database[Document]) -> None:
    """Count what nobody asked for."""
    database["rs_tenant_totals"].update_one({"_id": "MQ"}, {"$inc": {"standing.lost": 1}})


def wrong_first(database: Database[Document]) -> None:
    """Let the first outcome be later than it was."""
    database["rs_lead_global_conversions"].update_one(
        {"_id": "UA:IAH:EWR"}, {"$set": {"first_at": at(1, 6)}}
    )


@pytest.mark.parametrize(
    ("plant", "sentence"),
    [
        (wrong_status, f"rs_appointments: {ONE!r}: status is 'departed', expected 'arrived'"),
        (
            wrong_start,
            f"rs_appointments: {ONE!r}: starts_at is nothing, expected 2013-01-01 10:15:00",
        ),
        (missing_document, f"rs_appointments: {CALLED_OFF!r} is missing"),
        (missing_last, "rs_tenant_totals: 'UA' is missing"),
        (extra_document, "rs_appointments: 'UA:2013-01-01-UA9-EWR' should not be there"),
        (extra_field, f"rs_appointments: {ONE!r}: gate is 'B7', expected nothing"),
        (wrong_end, "valid_to is 2013-01-01 11:00:00, expected 2013-01-01 10:17:00"),
        (open_end, "valid_to is nothing, expected 2013-01-01 10:17:00"),
        (wrong_state, "state.status is 'arrived', expected 'scheduled'"),
        (broken_chain, "prev is nothing, expected 'UA1545-EWR-20130101-1@UA/airline'"),
        (missing_row, "UA1545-EWR-20130101-0@UA/airline' is missing"),
        (wrong_counter, "outcomes.arrived is 3, expected 2"),
        (unknown_counter, "standing.lost is 1, expected nothing"),
        (wrong_first, "first_at is 2013-01-01 06:00:00, expected 2013-01-01 05:00:00"),
    ],
)
def test_a_planted_fault_is_found_and_named(
    filled: Database[Document],
    expected: Expected,
    plant: Callable[[Database[Document]], None],
    sentence: str,
) -> None:
    """One fault, one sentence, with what is there and what should be."""
    plant(filled)
    (found,) = differences(filled, expected)
    assert sentence in found
