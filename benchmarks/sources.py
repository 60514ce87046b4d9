"""Real events to run: flights of a package, and shared files beside this repository."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks import flights

BESIDE: Final = Path(__file__).resolve().parents[2] / "shared" / "data"


class SourceMissingError(Exception):
    """The data is not on this machine."""


@dataclass(frozen=True)
class Source:
    """Where events come from, and what they go through.

    Attributes:
        name: as a person asks for it.
        handlers: the module that declares their handlers.
        read: all events in the order of their times, each as a line of JSON.
    """

    name: str
    handlers: str
    read: Callable[[], Iterator[bytes]]

    def lines(self, wanted: int | None) -> list[bytes]:
        """The first so many events, or all, as lines: a third of the size that events have.

        Raises:
            SourceMissingError: with what is missing, and where it was looked for.
        """
        return list(islice(self.read(), wanted))


def shared(name: str) -> Path:
    """Where a shared file of events is, or would be."""
    return Path(os.environ.get("PIPELINE_SHARED_DATA", BESIDE)) / f"{name}.ndjson.gz"


def _shared(name: str) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        path = shared(name)
        if not path.is_file():
            raise SourceMissingError(f"no {path}; PIPELINE_SHARED_DATA names another folder")
        with gzip.open(path) as file:
            yield from file

    return read


def _flights() -> Iterator[bytes]:
    try:
        path = flights.data_file()
    except flights.FlightsMissingError as error:
        raise SourceMissingError(str(error)) from None
    for event in flights.stream(path):
        yield event.model_dump_json().encode()


# The smallest first: what is wrong shows soonest there.
SOURCES: Final = (
    Source("sepsis", "handlers.care", _shared("sepsis")),
    Source("hotel", "handlers.appointments", _shared("hotel_bookings")),
    Source("flights", "handlers.appointments", _flights),
    Source("stock", "handlers.stock", _shared("retail_stock")),
)
