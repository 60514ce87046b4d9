"""How things went, as charts and tables show it: columns, rows, and what neither can show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from dashboards.web.words import moment, span
from pipeline.declarations import Lane
from pipeline.metrics.readings import COUNTED, PATIENCE, QUANTILES, Point, Reading, course, thinned
from pipeline.queue import Ring

RingName = Literal["hour", "day"]
ROWS: Final = {"hour": 60, "day": 1_800}
"""Seconds that a row of a table stands for; a row for each reading could not be read."""
MILLISECONDS: Final = 1_000
NOTHING: Final = (
    "Nothing was noted in this {}. A sweeper notes every {} s in Redis where the counts stand; "
    "is one running?"
)


class Course(NamedTuple):
    """What the readings of a ring come to.

    Attributes:
        ring: which.
        until: when this was looked at, in seconds since 1970.
        points: one for each reading, and one in each gap.
        rows: likewise of fewer readings, for a table, the newest first.
        notes: what has to be known of it, in sentences.
    """

    ring: Ring
    until: float
    points: list[Point]
    rows: list[Point]
    notes: list[str]


def course_of(readings: Sequence[Reading], ring: Ring, now: datetime) -> Course:
    """What these readings come to, at this time."""
    until = now.timestamp()
    begin, row = until - ring.seconds, ROWS[ring.name]
    rows = course(thinned(readings, row), row, begin)
    return Course(
        ring, until, course(readings, ring.step, begin), rows[::-1], _notes(readings, ring, until)
    )


def _notes(readings: Sequence[Reading], ring: Ring, until: float) -> list[str]:
    shown = [reading.at for reading in readings if reading.at >= until - ring.seconds]
    if not shown:
        return [NOTHING.format(ring.name, ring.step)]
    notes = []
    if until - shown[-1] > PATIENCE * ring.step:
        notes.append(
            f"Nothing was noted for {span((until - shown[-1]) * MILLISECONDS)}: what happened "
            "since is not known. Is a sweeper running?"
        )
    if shown[0] - (until - ring.seconds) > PATIENCE * ring.step:
        notes.append(
            f"Begins at {moment(datetime.fromtimestamp(shown[0], UTC))}: nothing older is known. "
            "This is kept in Redis, which may be emptied at any time."
        )
    return notes


def as_json(found: Course) -> dict[str, Any]:
    """Column by column, for charts and programs."""
    points = found.points
    return {
        "span": found.ring.name,
        "seconds": found.ring.seconds,
        "step": found.ring.step,
        "until": found.until,
        "newest": max((one.at for one in points if one.waiting is not None), default=None),
        "notes": found.notes,
        "at": [one.at for one in points],
        "per_second": {
            name: [None if one.rates is None else one.rates[name] for one in points]
            for name in COUNTED
        },
        "latency_seconds": {
            name: [None if one.latency is None else one.latency[name] for one in points]
            for name in QUANTILES
        },
        "waiting": {
            lane.value: [
                None if one.waiting is None else one.waiting.get(lane.value) for one in points
            ]
            for lane in Lane
        },
    }
