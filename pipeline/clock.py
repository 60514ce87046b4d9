"""Time as a parameter: wall time to store, monotonic time to measure."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


def to_milliseconds(moment: datetime) -> datetime:
    """The moment in UTC without its microseconds, as BSON keeps it."""
    moment = moment.astimezone(UTC)
    spare = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - spare) if spare else moment


def from_milliseconds(moment: datetime) -> datetime:
    """The first whole millisecond in UTC that is not before the moment."""
    return to_milliseconds(moment + timedelta(microseconds=999))


class Clock(Protocol):
    """What the framework asks of time."""

    def now(self) -> datetime:
        """The wall time in UTC, in whole milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, for durations."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The wall time in UTC, in whole milliseconds."""
        return to_milliseconds(datetime.now(UTC))

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime) -> None:
        self._now = to_milliseconds(start)
        self._elapsed = 0.0

    def now(self) -> datetime:
        """The moment the test has set."""
        return self._now

    def monotonic(self) -> float:
        """Seconds the test has let pass."""
        return self._elapsed

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self._now += by
        self._elapsed += by.total_seconds()
