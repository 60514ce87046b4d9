"""What is promised over 30 days, and how fast the budget for errors may be spent.

An error ratio is `(bad or 0 * total) / total`: it reads 0, and not nothing, where nothing bad
was ever counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
FEWEST: Final = 10
"""Bad ones that a window needs before anybody is told: in a quiet hour one is a large share."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise.

    Attributes:
        name: its name.
        target: the share that must be good.
        bad: what is bad, per second, with `$w` for the window.
        total: all of it.
        means: in words.
        console: the page on which one sees why.
    """

    name: str
    target: float
    bad: str
    total: str
    means: str
    console: str


@dataclass(frozen=True, slots=True)
class Burn:
    """When the budget is spent too fast: in a long window, and still so in a short one."""

    rate: float
    long: str
    short: str
    severity: str
    hold: str


OBJECTIVES: Final = (
    Objective(
        name="intake_availability",
        target=0.999,
        bad='sum(rate(pipe_intake_submissions_total{outcome="unavailable"}[$w]))',
        total='sum(rate(pipe_intake_submissions_total{outcome!="overloaded"}[$w]))',
        means="of the calls that submit events are stored, or told to come again",
        console="/ops/",
    ),
    Objective(
        name="freshness",
        target=0.99,
        bad=(
            "(sum(rate(pipe_event_e2e_seconds_count[$w]))"
            ' - sum(rate(pipe_event_e2e_seconds_bucket{le="30.0"}[$w])))'
        ),
        total="sum(rate(pipe_event_e2e_seconds_count[$w]))",
        means="of the effects are written within 30 s of the event's receipt",
        console="/ops/queues",
    ),
    Objective(
        name="success",
        target=0.999,
        bad='sum(rate(pipe_events_total{outcome="dead"}[$w]))',
        total='sum(rate(pipe_events_total{outcome=~"done|skipped|cancelled|dead"}[$w]))',
        means="of the events have their effect and do not become dead letters",
        console="/ops/failed",
    ),
)
BURNS: Final = (
    Burn(14.4, "1h", "5m", "page", "2m"),
    Burn(6.0, "6h", "30m", "page", "5m"),
    Burn(3.0, "1d", "2h", "ticket", "15m"),
    Burn(1.0, "3d", "6h", "ticket", "30m"),
)
