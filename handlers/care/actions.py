"""Each case as it stands, and every step of its way.

pipeline --handlers handlers.care up
pipeline --handlers handlers.care history care_cases hospital:NGA
pipeline --handlers handlers.care query care_cases --key hospital:NGA --as-of 2014-12-01
"""

from __future__ import annotations

from datetime import datetime

from handlers.care.events import (
    EVENTS,
    NONE_GIVEN,
    activity_of,
    department_of,
    is_release,
    is_visit,
    phase_of,
)
from pipeline import Event, State, action


class Case(State):
    """One case.

    Attributes:
        activity: what was done last.
        department: who did it, `none` where no one is named.
        phase: `emergency`, `ward`, `intensive_care` or `released`; `unknown` before any.
        visits: how often the emergency room was come to.
        activities: how many there were.
        release: in which way the case was last released, such as `release_a`; if it was.
        released_at: when that was.
    """

    activity: str = NONE_GIVEN
    department: str = NONE_GIVEN
    phase: str = "unknown"
    visits: int = 0
    activities: int = 0
    release: str | None = None
    released_at: datetime | None = None


@action("care.apply", on=EVENTS, table="care_cases", key="{tenant}:{entity_id}")
def apply_activity(state: Case | None, event: Event) -> Case:
    """The case as it stands after this activity."""
    state = state or Case()
    released = is_release(event)
    return state.replace(
        activity=activity_of(event),
        department=department_of(event),
        phase=phase_of(event) or state.phase,
        visits=state.visits + is_visit(event),
        activities=state.activities + 1,
        release=activity_of(event) if released else state.release,
        released_at=event.occurred_at if released else state.released_at,
    )
