"""Holding events back for a predecessor that is on its way, for a time that a tenant sets.

Pure. It saves the work of healing and nothing else: an event whose predecessor never comes is
applied when its time is over, and one that comes after that is late and heals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from pipeline.event import Event
from pipeline.numbering import Numbering

LONGEST_GRACE_MS: Final = 3_600_000
_MILLISECOND: Final = timedelta(milliseconds=1)


class HoldPolicy(BaseModel):
    """How long events are held back; immutable.

    Attributes:
        grace_ms: how long an event waits for its predecessor, in milliseconds; 0 does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grace_ms: Annotated[int, Field(ge=0, le=LONGEST_GRACE_MS)] = 0


class HoldEnd(StrEnum):
    """What ended the time for which an event was held back."""

    PREDECESSOR = "predecessor"
    """The event before it was applied."""
    GRACE = "grace"
    """Its time was over; it was applied without its predecessor."""


class Held(NamedTuple):
    """An event that is held back, or was.

    Attributes:
        since: when it was first held back.
        until: when it is applied at the latest.
        seq: its number.
        freed: whether it was let go since its predecessor is there, or is to come just before it.
        end: what ended it; None while it lasts.
        ms: how long it lasted, in milliseconds; None while it does.
    """

    since: datetime
    until: datetime
    seq: int
    freed: bool = False
    end: HoldEnd | None = None
    ms: int | None = None

    def again(self) -> Held:
        """The same, where it came before its predecessor although it had been let go."""
        return self._replace(freed=False)

    def ended(self, by: HoldEnd, now: datetime) -> Held:
        """The same, over now; what was over before stays as it was."""
        if self.end is not None:
            return self
        return self._replace(end=by, ms=max(0, (now - self.since) // _MILLISECOND))


class Admission(NamedTuple):
    """Which events of a document are applied now.

    Attributes:
        events: those that are, in the order in which they are let in: as they came, but that
            one that was waiting for its predecessor follows it.
        waiting: those that are held back.
        alone: keys of events let in without their predecessor.
    """

    events: list[Event]
    waiting: list[Event]
    alone: set[str]


def admit(
    arrived: Sequence[Event], numbering: Numbering, may_wait: Callable[[Event], bool]
) -> Admission:
    """Decide which events of one document are applied now.

    Args:
        arrived: the events, in the order in which they came.
        numbering: the numbers that the document has seen; those let in are added to it.
        may_wait: whether the event has any of its time left.
    """
    admission = Admission([], [], set())
    waiting: dict[tuple[str, int], list[Event]] = {}
    for event in arrived:
        if numbering.lacks(event):
            if may_wait(event) and event.seq is not None:
                waiting.setdefault((event.source, event.seq - 1), []).append(event)
                continue
            admission.alone.add(event.key)
        _let_in(event, numbering, waiting, admission.events)
    admission.waiting.extend(event for events in waiting.values() for event in events)
    return admission


def _let_in(
    event: Event,
    numbering: Numbering,
    waiting: dict[tuple[str, int], list[Event]],
    into: list[Event],
) -> None:
    """Let an event in, and then those that waited for it, and those that waited for them."""
    following = [event]
    while following:
        event = following.pop(0)
        into.append(event)
        numbering.add(event)
        if event.seq is not None:
            following += waiting.pop((event.source, event.seq), ())
