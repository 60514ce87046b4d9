"""Made-up readings for tests of the charts."""

import time
from collections.abc import Iterable

from pipeline.metrics.catalogue import E2E_EDGES
from pipeline.metrics.readings import Reading
from pipeline.queue import RINGS, Readings

EACH = 10
"""Seconds between two of them."""


def made_up(at: float, n: int, *, waiting: int = 0) -> Reading:
    """At this moment: n steps of 20 accepted, 40 done in 0.25 to 0.5 s, 2 failed and 1 late."""
    counted = {"accepted": 20.0 * n, "done": 40.0 * n, "failed": 2.0 * n, "late": 1.0 * n}
    took = [0.0] * (len(E2E_EDGES) + 1)
    took[2] = 40.0 * n
    return Reading(at, counted, took, {"actions": waiting, "observers": 0})


def keep(readings: Readings, steps: Iterable[int], *, last: int) -> float:
    """Keep those of some steps, of which the last one would be now; when that is.

    Args:
        readings: where.
        steps: which, counted from 0.
        last: the one that is now.
    """
    now = time.time()
    for n in steps:
        reading = made_up(now - EACH * (last - n), n, waiting=n % 7)
        readings.keep(reading, [RINGS["hour"]])
    return now
