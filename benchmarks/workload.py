"""What is sent: a small declaration of events, and the events themselves.

Synthetic events are appointments: each is scheduled, changed some times and ends. They follow
from the seed, and so does what is spoilt of their order.
"""

from __future__ import annotations

import gzip
import random
import zlib
from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks import flights
from pipeline import Event

FLIGHTS: Final = "flights"
SYNTHETIC: Final = "synthetic"
FIRST: Final = datetime(2024, 1, 1, tzinfo=UTC)
EVERY: Final = timedelta(seconds=1)
EVENTS_AN_ENTITY: Final = 3
LEADS: Final = 50
CHANNELS: Final = ("web", "phone", "partner")
HOT: Final = "hot"
"""The entity that `hot_share` of all events go to."""


class UnfitFileError(Exception):
    """A file that is no file of events; the message says where and why."""


class Workload(BaseModel):
    """Events to send.

    Attributes:
        source: `flights`, `synthetic`, or the path of a file of events, a line of JSON each;
            gzip by its name's end.
        events: the first so many.
        tenants: of synthetic events.
        skew: how uneven the tenants are: the n-th has a share of 1/n to this power.
        hot_share: share of synthetic events that go to one entity.
        span: within about so many events come those of one entity, as an appointment's do within
            weeks and not years; 0 draws each event's entity from all there will ever be.
        payload_bytes: about the size of a synthetic event's payload.
        late: share of events that come late, by up to 3,000 positions.
        duplicates: share of events that are sent a second time.
        seed: of everything random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = FLIGHTS
    events: int = Field(default=60_000, ge=1)
    tenants: int = Field(default=4, ge=1)
    skew: float = Field(default=0.0, ge=0)
    hot_share: float = Field(default=0.0, ge=0, le=1)
    span: int = Field(default=0, ge=0)
    payload_bytes: int = Field(default=200, ge=0)
    late: float = Field(default=0.0, ge=0, le=1)
    duplicates: float = Field(default=0.0, ge=0, le=1)
    seed: int = 2013


class Sent(NamedTuple):
    """Events as they are sent, and what was done to their order; counted as they are read."""

    events: Iterator[Event]
    injected: flights.Injected


def arriving(workload: Workload) -> Sent:
    """The events in the order in which they are sent."""
    injected = flights.Injected()
    events = in_order(workload)
    if workload.late or workload.duplicates:
        events = flights.disorder(
            events,
            workload.seed,
            injected=injected,
            late=workload.late,
            duplicates=workload.duplicates,
        )
    return Sent(events, injected)


def in_order(workload: Workload) -> Iterator[Event]:
    """The different events, in the order of their times.

    Raises:
        FlightsMissingError: the package of the flights is not installed.
        UnfitFileError: the file can't be read, or a line of it is no event.
    """
    if workload.source == FLIGHTS:
        path = flights.data_file()
        found = flights.stream(path, flights.count(path, workload.events)[0])
    elif workload.source == SYNTHETIC:
        found = _synthetic(workload)
    else:
        found = _from_file(Path(workload.source))
    return islice(found, workload.events)


def _from_file(path: Path) -> Iterator[Event]:
    opening = gzip.open if path.suffix == ".gz" else open
    try:
        with opening(path, "rb") as lines:
            yield from (_event(path, number, line) for number, line in enumerate(lines, start=1))
    except (OSError, EOFError, zlib.error) as error:
        raise UnfitFileError(f"{path} can't be read: {error}") from None


def _event(path: Path, number: int, line: bytes) -> Event:
    try:
        return Event.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = f"{where}: {first['msg']}" if where else first["msg"]
        raise UnfitFileError(f"{path}: line {number} is no event: {said}") from None


def _synthetic(workload: Workload) -> Iterator[Event]:
    draw = random.Random(f"{workload.seed} {workload.events}")
    shares = list(accumulate((n + 1) ** -workload.skew for n in range(workload.tenants)))
    entities = max(1, workload.events // EVENTS_AN_ENTITY)
    active = min(entities, max(1, (workload.span or workload.events) // EVENTS_AN_ENTITY))
    seen: dict[str, int] = {}
    for number in range(workload.events):
        hot = draw.random() < workload.hot_share
        oldest = (entities - active) * number // workload.events
        entity = HOT if hot else f"a{oldest + draw.randrange(active)}"
        # An entity stays with its tenant; the hot one is the first tenant's.
        place = 0.0 if hot else random.Random(f"{workload.seed} {entity}").random()
        tenant = bisect(shares, place * shares[-1])
        seq = seen[entity] = seen.get(entity, 0) + 1
        kind = "scheduled" if seq == 1 else draw.choice(("confirmed", "moved", "completed"))
        payload = {
            "lead": f"lead-{draw.randrange(LEADS)}",
            "channel": draw.choice(CHANNELS),
            "note": "x" * max(0, workload.payload_bytes - 60),
        }
        yield Event(
            event_id=f"s{number}",
            tenant=f"t{tenant}",
            source="synthetic",
            type=f"appointment.{kind}",
            entity_id=entity,
            seq=seq,
            occurred_at=FIRST + EVERY * number,
            payload=payload,
        )
