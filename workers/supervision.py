"""What to do about a supervised process, decided from its history and the time alone.

WAITING --start--> RUNNING --too much memory--> RECYCLING --its end--> WAITING, due at once
   ^                  |                             |
   +--its own end-----+-----------the drain---------+--> DRAINING --its end--> ENDED
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

STEADY_SECONDS: Final = 30.0
"""A process that lived this long is well: its failures are forgotten."""
LONGEST_PAUSE: Final = 30.0
UNAVAILABLE_PAUSE: Final = 2.0
"""Between tries while a server is away; a start takes longer than that to find out."""
CRASHES: Final = 5
"""So many lives in a row, each too short to be steady, are a crash loop."""
RECYCLE_AFTER: Final = 10.0
"""A process lives at least this long before it is recycled. One that is above its ceiling right
from its start would otherwise do nothing but start."""


class Phase(Enum):
    """Where a process stands."""

    WAITING = "waiting"
    RUNNING = "running"
    RECYCLING = "recycling"
    """Told to end, and started again when it has."""
    DRAINING = "draining"
    """Told to end for good."""
    ENDED = "ended"


class Action(Enum):
    """What is to be done now."""

    NOTHING = "nothing"
    START = "start"
    SETTLE = "settle"
    """It has shown to be well."""
    RECYCLE = "recycle"
    """Tell it to finish what it has begun and end."""
    KILL = "kill"
    """It was told to end, and has not by its deadline."""


@dataclass(frozen=True, slots=True)
class History:
    """What a process has been through; times are monotonic seconds.

    Attributes:
        phase: where it stands.
        since: when its present life, or its last, began.
        failures: lives in a row that ended by themselves before they were steady.
        due: when it is started, while it waits.
        deadline: when it is killed, once it was told to end; infinite when it was killed.
    """

    phase: Phase = Phase.WAITING
    since: float = 0.0
    failures: int = 0
    due: float = 0.0
    deadline: float = math.inf

    @property
    def looping(self) -> bool:
        """Whether it is in a crash loop: it fails again and again, soon after its start."""
        return self.failures >= CRASHES

    def decide(self, now: float, *, too_big: bool = False) -> Action:
        """What is to be done.

        Args:
            now: the time.
            too_big: whether its memory is above its ceiling.
        """
        lived = now - self.since
        if self.phase is Phase.WAITING and now >= self.due:
            return Action.START
        if self.phase is Phase.RUNNING and too_big and lived >= RECYCLE_AFTER:
            return Action.RECYCLE
        if self.phase is Phase.RUNNING and self.failures and lived >= STEADY_SECONDS:
            return Action.SETTLE
        if self.phase in {Phase.RECYCLING, Phase.DRAINING} and now >= self.deadline:
            return Action.KILL
        return Action.NOTHING

    def started(self, now: float) -> History:
        """After its start."""
        return replace(self, phase=Phase.RUNNING, since=now, deadline=math.inf)

    def settled(self) -> History:
        """After it has lived long enough."""
        return replace(self, failures=0)

    def recycled(self, deadline: float) -> History:
        """After it was told to end because of its memory."""
        return replace(self, phase=Phase.RECYCLING, deadline=deadline)

    def drained(self, deadline: float) -> History:
        """After it was told to end for good; a deadline never moves back."""
        if self.phase in {Phase.WAITING, Phase.ENDED}:
            return replace(self, phase=Phase.ENDED)
        if self.deadline == math.inf and self.phase is not Phase.RUNNING:
            return replace(self, phase=Phase.DRAINING)  # it was killed, and will end any moment
        return replace(self, phase=Phase.DRAINING, deadline=min(deadline, self.deadline))

    def killed(self) -> History:
        """After it was killed; once is enough."""
        return replace(self, deadline=math.inf)

    def ended(self, now: float, *, unavailable: bool = False) -> History:
        """After its end, whoever wanted it.

        Args:
            now: the time.
            unavailable: whether it said that a server is away: no failure of its own, and it
                is tried again soon.
        """
        if self.phase is Phase.DRAINING:
            return replace(self, phase=Phase.ENDED)
        if self.phase is Phase.RECYCLING:
            return replace(self, phase=Phase.WAITING, due=now)
        if unavailable:
            return replace(self, phase=Phase.WAITING, due=now + UNAVAILABLE_PAUSE)
        steady = now - self.since >= STEADY_SECONDS
        failures = 1 if steady else self.failures + 1
        return replace(self, phase=Phase.WAITING, failures=failures, due=now + pause(failures))

    def words(self, now: float) -> str:
        """How it stands, for people."""
        left = math.ceil(self.deadline - now) if math.isfinite(self.deadline) else None
        patience = "killed" if left is None else f"killed in {max(0, left)} s"
        match self.phase:
            case Phase.WAITING:
                what = "crash loop" if self.looping else "ended"
                return f"{what}, next try in {max(0, math.ceil(self.due - now))} s"
            case Phase.RUNNING:
                return "crash loop, running again" if self.looping else "running"
            case Phase.RECYCLING:
                return f"too much memory, finishing what it has begun, {patience}"
            case Phase.DRAINING:
                return f"finishing what it has begun, {patience}"
            case Phase.ENDED:
                return "ended"


def pause(failures: int) -> float:
    """Seconds before a process is started again: none at first, in a crash loop the longest."""
    if failures <= 1:
        return 0.0
    return LONGEST_PAUSE if failures >= CRASHES else 2.0 ** (failures - 2)
