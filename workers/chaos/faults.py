"""Faults, and when they strike: the same seed is the same schedule."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What is done to whom."""

    KILL_WORKER = "kill -9 a worker"
    KILL_SWEEPER = "kill -9 the sweeper"
    KILL_SUPERVISOR = "kill -9 the supervisor"
    FREEZE_WORKER = "stop a worker beyond its lease"
    FLUSH_REDIS = "wipe Redis"
    RESTART_REDIS = "kill -9 Redis and start it again"
    CUT_REDIS = "cut all connections to Redis"
    DEAFEN_REDIS = "swallow all bytes to and from Redis"
    KILL_PRIMARY = "kill -9 the MongoDB primary and start it again"
    STEP_DOWN = "make the MongoDB primary step down"
    FREEZE_PRIMARY = "stop the MongoDB primary until another is elected"
    REDIS_GONE = "let Redis be gone for the time of an outage"
    MONGODB_GONE = "let all of MongoDB be gone for the time of an outage"


WEIGHTS: Final = {
    Kind.KILL_WORKER: 6,
    Kind.FREEZE_WORKER: 3,
    Kind.CUT_REDIS: 3,
    Kind.FLUSH_REDIS: 2,
    Kind.KILL_SWEEPER: 2,
    Kind.RESTART_REDIS: 1,
    Kind.DEAFEN_REDIS: 1,
    Kind.KILL_SUPERVISOR: 1,
    Kind.STEP_DOWN: 1,
    Kind.KILL_PRIMARY: 1,
    Kind.FREEZE_PRIMARY: 1,
}
"""How often each strikes. Those of MongoDB stop everything for seconds, so they are few.

Outages come once each, where they are asked for.
"""

OUTAGES: Final = frozenset({Kind.REDIS_GONE, Kind.MONGODB_GONE})
"""What strikes because it was asked for: it waits until it can."""

SHORTEST: Final = 0.5
LONGEST: Final = 3.0
BETWEEN_OUTAGES: Final = 10.0
BEFORE_OUTAGES: Final = 0.2
"""Share of the time that is over when the first outage begins."""


class OutageTooLongError(ValueError):
    """The outages that were asked for do not fit into the time of the run."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        at: seconds after the first event was sent.
        kind: what is done.
        pick: 0 to 1; chooses among several victims.
        seconds: how long it lasts, where it lasts.
    """

    at: float
    kind: Kind
    pick: float
    seconds: float


def schedule(seed: int, seconds: float, every: float, outage: float = 0.0) -> list[Fault]:
    """Faults for so many seconds, one in `every` seconds on average, at random moments.

    Each kind comes once before any comes by weight, so that a short run meets all of them.
    With an outage, Redis and then MongoDB are gone for so many seconds, the first one when a
    fifth of the time is over.

    Raises:
        OutageTooLongError: the second outage would not be over by the end.
    """
    if outage and seconds < shortest_with(outage):
        raise OutageTooLongError(
            f"two outages of {outage:g} s do not fit into {seconds:g} s: make them shorter, or "
            f"let the run take {shortest_with(outage) / 60:.1f} minutes or longer"
        )
    draw = random.Random(seed)
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    first = draw.sample(kinds, len(kinds))
    faults: list[Fault] = []
    at = draw.expovariate(1 / every)
    while at < seconds:
        kind = first.pop() if first else draw.choices(kinds, weights)[0]
        faults.append(Fault(at, kind, draw.random(), draw.uniform(SHORTEST, LONGEST)))
        at += draw.expovariate(1 / every)
    if outage:
        first_at = seconds * BEFORE_OUTAGES
        second_at = first_at + outage + BETWEEN_OUTAGES
        faults.append(Fault(first_at, Kind.REDIS_GONE, 0.0, outage))
        faults.append(Fault(second_at, Kind.MONGODB_GONE, 0.0, outage))
        faults.sort(key=lambda fault: fault.at)
    return faults


def shortest_with(outage: float) -> float:
    """Seconds that a run has to take for both outages to be over by its end."""
    return (2 * outage + BETWEEN_OUTAGES) / (1 - BEFORE_OUTAGES)
