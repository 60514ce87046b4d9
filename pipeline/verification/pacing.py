"""How fast a verification goes on: as fast as it can alone, and out of the way of live work.

A live event meets a worker that is busy with a step, and servers that are busy with it too.
So beside live work steps are short, only one of all workers makes them, and it rests between
them for longer than they take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol


class Traffic(Protocol):
    """Who knows of live work; as `pipeline.queue.Traffic`."""

    def live(self) -> bool:
        """Whether there is any."""

    def take_turn(self) -> bool:
        """Whether it is our turn beside it."""

    def end_turn(self, rest_seconds: float) -> None:
        """End our turn; nobody begins another one within the rest."""


class NoTraffic:
    """There is none."""

    def live(self) -> bool:
        """No."""
        return False

    def take_turn(self) -> bool:
        """Always."""
        return True

    def end_turn(self, rest_seconds: float) -> None:
        """Nothing is to be ended."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a step looks at.

    Attributes:
        events: of entities.
        documents: of a derived table.
    """

    events: int
    documents: int


ALONE: Final = Pace(500, 500)
"""About 50 ms of a worker's time."""
BESIDE: Final = Pace(50, 100)

SHARE: Final = 0.25
"""Of one worker's time that steps take beside live work, whatever the number of workers."""
REFUSED_SECONDS: Final = 1.0
"""A worker whose turn it is not looks again after so long."""
LONGEST_REST: Final = 5.0


def rest(step_seconds: float) -> float:
    """Seconds until the next step beside live work, after one that took so long."""
    return min(step_seconds * (1 / SHARE - 1), LONGEST_REST)
