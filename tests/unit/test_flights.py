"""Flights as events: the rules of the generator, and how their order is spoiled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from benchmarks import flights
from benchmarks.flights import Flight, Injected, count, disorder, facts_of, read_flights, stream
from pipeline import Event

HEADER = ",".join(Flight._fields)
ARRIVED = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
CANCELLED = "2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,NA,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z"
DIVERTED = (
    "2013,1,1,1525,1530,-5,1934,1805,NA,MQ,4525,N719MQ,LGA,XNA,NA,1147,15,30,2013-01-01T20:00:00Z"
)
NEXT_DAY = (
    "2013,1,2,42,2359,43,518,442,36,B6,707,N580JB,JFK,SJU,189,1598,23,59,2013-01-03T04:00:00Z"
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Give a file with one flight of each fate, and one of the next day."""
    path = tmp_path / "flights.csv"
    path.write_text(f"{HEADER}\n{ARRIVED}\n{CANCELLED}\n{DIVERTED}\n{NEXT_DAY}\n")
    return path


@pytest.fixture(scope="module")
def real() -> Path:
    """Give the real file, if its package is installed."""
    try:
        return flights.data_file()
    except flights.FlightsMissingError as error:
        pytest.skip(str(error))


def of(events: list[Event], entity: str) -> list[Event]:
    """Pick the events of one flight."""
    return [event for event in events if event.entity_id == entity]


def test_a_flight_that_arrives_is_scheduled_departs_and_arrives(small: Path) -> None:
    """Three events with the times of the file, ids and sequence."""
    planned, departed, arrived = of(list(stream(small)), "2013-01-01-UA1545-EWR")
    assert (planned.type, planned.occurred_at) == (
        "appointment.scheduled",
        datetime(2013, 1, 1, 5, tzinfo=UTC),
    )
    assert (departed.type, departed.occurred_at) == (
        "appointment.departed",
        datetime(2013, 1, 1, 10, 17, tzinfo=UTC),
    )
    assert (arrived.type, arrived.occurred_at) == (
        "appointment.arrived",
        datetime(2013, 1, 1, 14, 4, tzinfo=UTC),
    )
    assert [e.event_id for e in (planned, departed, arrived)] == [
        f"UA1545-EWR-20130101-{seq}" for seq in range(3)
    ]
    assert [e.seq for e in (planned, departed, arrived)] == [0, 1, 2]
    assert planned.key == "UA1545-EWR-20130101-0@UA/airline"


def test_the_payload_holds_what_the_file_tells(small: Path) -> None:
    """The start only when scheduled, a delay only where there is one, numbers as numbers."""
    planned, departed, arrived = of(list(stream(small)), "2013-01-01-UA1545-EWR")
    about = {"lead": "IAH", "channel": "EWR", "distance": 1400, "tailnum": "N14228"}
    assert planned.payload == about | {"starts_at": "2013-01-01T10:15:00+00:00"}
    assert departed.payload == about | {"delay": 2}
    assert arrived.payload == about | {"delay": 11}


def test_a_flight_without_departure_is_cancelled_when_it_should_have_left(small: Path) -> None:
    """What is not available is left out, not written as text."""
    planned, cancelled = of(list(stream(small)), "2013-01-01-EV4308-EWR")
    assert planned.type == "appointment.scheduled"
    assert cancelled.type == "appointment.cancelled"
    assert cancelled.occurred_at == datetime(2013, 1, 1, 21, 30, tzinfo=UTC)
    assert cancelled.payload == {"lead": "RDU", "channel": "EWR", "distance": 416}


def test_a_diverted_flight_departs_and_does_not_arrive(small: Path) -> None:
    """It has no air time, so no time of arrival; it may leave before its time."""
    kinds = [e.type for e in of(list(stream(small)), "2013-01-01-MQ4525-LGA")]
    assert kinds == ["appointment.scheduled", "appointment.departed"]


def test_events_come_in_the_order_of_their_times(small: Path) -> None:
    """Also across days, where a late flight is still in the air at midnight."""
    times = [event.occurred_at for event in stream(small)]
    assert times == sorted(times)
    assert len(times) == 10


def test_a_step_back_in_the_file_loses_nothing(tmp_path: Path) -> None:
    """The file's months are not in order; what is held is let go before an earlier day."""
    path = tmp_path / "flights.csv"
    path.write_text(f"{HEADER}\n{NEXT_DAY}\n{ARRIVED}\n")
    days = [event.occurred_at.day for event in stream(path)]
    assert len(days) == 6
    assert days[3:] == [1, 1, 1]


def test_times_that_run_backwards_are_refused() -> None:
    """A departure before the plan of the day would not be the data we checked."""
    flight = Flight._make(ARRIVED.split(","))._replace(dep_delay="-400")
    with pytest.raises(ValueError, match="2013-01-01-UA1545-EWR run backwards"):
        facts_of(flight)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """Its columns are named."""
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="a, b"):
        next(read_flights(path))


def test_as_many_flights_are_taken_as_make_the_events(small: Path) -> None:
    """The last flight is taken whole, so there may be some events more."""
    assert count(small, 1) == (1, 3)
    assert count(small, 3) == (1, 3)
    assert count(small, 4) == (2, 5)
    assert count(small, None) == (4, 10)
    assert len(list(stream(small, 2))) == 5


def test_the_whole_file_is_as_large_as_we_say(real: Path) -> None:
    """336,776 flights make a million events, each flight of a date once, times in order."""
    entities = set()
    events = 0
    for flight in read_flights(real):
        entities.add((flight.carrier, flight.entity_id))
        events += flight.events
    assert len(entities) == 336_776
    assert events == 1_000_898


def test_the_times_of_every_flight_are_in_order(real: Path) -> None:
    """So the order of events by time is the order of their sequence; every 20th is looked at."""
    for flight in islice(read_flights(real), 0, None, 20):
        assert len(facts_of(flight)) == flight.events


def test_the_stream_is_the_same_every_time(real: Path) -> None:
    """And every event of it has a key of its own."""
    one = [event.key for event in stream(real, 500)]
    assert one == [event.key for event in stream(real, 500)]
    assert len(set(one)) == len(one)


@pytest.fixture(scope="module")
def ordered(real: Path) -> list[Event]:
    """Give about 3,000 events in order."""
    return list(stream(real, 1_000))


def test_disorder_is_the_same_for_the_same_seed(ordered: list[Event]) -> None:
    """And another for another."""

    def keys(seed: int) -> list[str]:
        return [e.key for e in disorder(ordered, seed, injected=Injected(), window=200)]

    assert keys(1) == keys(1)
    assert keys(1) != keys(2)


def test_disorder_loses_no_event_and_counts_what_it_does(ordered: list[Event]) -> None:
    """Every event is there, and as many twice as it says."""
    injected = Injected()
    spoiled = [event.key for event in disorder(ordered, 7, injected=injected, window=200)]
    assert set(spoiled) == {event.key for event in ordered}
    assert len(spoiled) == len(ordered) + injected.duplicates
    assert injected.duplicates == pytest.approx(len(ordered) * 0.05, rel=0.3)
    assert injected.late == pytest.approx(len(ordered) * 0.05, rel=0.3)


def test_disorder_moves_events_later_by_up_to_the_window(ordered: list[Event]) -> None:
    """Nothing comes more than a window late, counted in events that overtook it."""
    window = 50
    spoiled = list(disorder(ordered, 3, injected=Injected(), duplicates=0.0, window=window))
    place = {event.key: number for number, event in enumerate(ordered)}
    moved = [number - place[event.key] for number, event in enumerate(spoiled)]
    assert 0 < max(moved) <= window
    assert all(number >= -window for number in moved)


def test_without_shares_there_is_no_disorder(ordered: list[Event]) -> None:
    """The stream passes through as it is."""
    injected = Injected()
    same = list(disorder(ordered, 3, injected=injected, duplicates=0.0, late=0.0))
    assert same == ordered
    assert injected == Injected()


def test_disorder_reads_no_further_than_it_must(ordered: list[Event]) -> None:
    """Memory stays bounded: the first event comes out before many are read."""
    read = 0

    def counted() -> Iterator[Event]:
        nonlocal read
        for event in ordered:
            read += 1
            yield event

    next(disorder(counted(), 5, injected=Injected(), window=100))
    assert read <= 101
