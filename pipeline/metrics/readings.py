"""Where the counts stood now and then, as a meter is read, and what came between two readings.

A reading holds totals and no rates: so a coarser course is made by leaving readings out, and
nothing is averaged twice. What lies between two readings that are too far apart, or of which
the later one shows less than the earlier, is not known; it is told as nothing, never as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from pipeline.metrics.catalogue import (
    EVENT_E2E,
    EVENT_FAILURES,
    EVENTS,
    INTAKE_EVENTS,
    OUT_OF_ORDER,
)
from pipeline.metrics.counts import SEPARATOR, SUM

COUNTED: Final = ("accepted", "done", "failed", "late")
"""Events accepted; events that a handler was done with, once for each handler; attempts of a
handler that failed; events that came late for their document."""
QUANTILES: Final = {"p50": 0.5, "p99": 0.99}
PATIENCE: Final = 2.5
"""Readings further apart than this many steps are not joined."""

_OUTCOMES: Final = {
    (INTAKE_EVENTS.name, "accepted"): "accepted",
    (EVENTS.name, "done"): "done",
    (EVENTS.name, "skipped"): "done",
    (OUT_OF_ORDER.name, "late"): "late",
}


class Reading(NamedTuple):
    """Where it all stood at one moment.

    Attributes:
        at: when, in seconds since 1970.
        counted: totals, by the names of `COUNTED`.
        took: total of events by how long they took from receipt to effect, in the buckets of
            `pipe_event_e2e_seconds`, all handlers together.
        waiting: jobs that waited, by lane.
    """

    at: float
    counted: Mapping[str, float]
    took: Sequence[float]
    waiting: Mapping[str, int]


class Point(NamedTuple):
    """What is known of one moment and of the time since the reading before it.

    Attributes:
        at: the moment, in seconds since 1970.
        rates: events a second since the reading before, by the names of `COUNTED`; None for
            what is not known.
        latency: seconds within which half of the events, and 99 of 100, were done since then;
            None where none was done. Interpolated within a bucket, as Prometheus does.
        waiting: jobs that waited, by lane; None within a gap.
    """

    at: float
    rates: Mapping[str, float] | None
    latency: Mapping[str, float] | None
    waiting: Mapping[str, int] | None


def reading_of(totals: Mapping[str, float], waiting: Mapping[str, int], at: float) -> Reading:
    """Read the meters.

    Args:
        totals: by field, as Redis holds them.
        waiting: jobs by lane.
        at: now, in seconds since 1970.
    """
    counted = dict.fromkeys(COUNTED, 0.0)
    took = [0.0] * (len(EVENT_E2E.edges) + 1)
    for field, n in totals.items():
        name, *rest = field.split(SEPARATOR)
        if name == EVENT_E2E.name:
            if rest[-1] != SUM:
                took[int(rest[-1])] += n
        elif name == EVENT_FAILURES.name:
            counted["failed"] += n
        elif (kind := _OUTCOMES.get((name, rest[-1] if rest else ""))) is not None:
            counted[kind] += n
    return Reading(at, counted, took, waiting)


def thinned(readings: Iterable[Reading], step: float) -> list[Reading]:
    """The last reading of each step."""
    return list({reading.at // step: reading for reading in readings}.values())


def course(readings: Sequence[Reading], step: float, begin: float) -> list[Point]:
    """What the readings come to from a moment on; a point without values lies in each gap.

    Args:
        readings: in the order of time.
        step: seconds between two of them, as they are meant to be.
        begin: the moment; a reading before it may be needed for the first rate.
    """
    points = [Point(readings[0].at, None, None, readings[0].waiting)] if readings else []
    for before, after in pairwise(readings):
        points.extend(_between(before, after, step))
    return [point for point in points if point.at >= begin]


def _between(before: Reading, after: Reading, step: float) -> Iterator[Point]:
    seconds = after.at - before.at
    if seconds > PATIENCE * step:
        yield Point(before.at + step, None, None, None)
        yield Point(after.at, None, None, after.waiting)
        return
    grown = {name: after.counted[name] - before.counted[name] for name in COUNTED}
    took = [late - early for late, early in zip(after.took, before.took, strict=True)]
    if min(*grown.values(), *took) < 0:  # Redis was emptied: the counts began anew
        yield Point(after.at, None, None, after.waiting)
        return
    rates = {name: n / seconds for name, n in grown.items()}
    latency = {name: quantile(took, q) for name, q in QUANTILES.items()} if any(took) else None
    yield Point(after.at, rates, latency, after.waiting)


def quantile(counts: Sequence[float], q: float) -> float:
    """The value that this share of what was counted does not exceed, in seconds.

    Args:
        counts: by bucket of `pipe_event_e2e_seconds`; not all 0.
        q: the share, between 0 and 1.

    Returns:
        A value within the bucket; of the last one, which has no end, where it begins.
    """
    rank, edges = q * sum(counts), EVENT_E2E.edges
    for at, upto in enumerate(accumulate(counts)):
        if upto >= rank and counts[at]:
            break
    if at == len(edges):
        return edges[-1]
    begin = edges[at - 1] if at else 0.0
    return begin + (edges[at] - begin) * (rank - (upto - counts[at])) / counts[at]
