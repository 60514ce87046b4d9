"""What cases add up to: how often a department does what, and after what.

pipeline --handlers handlers.care query care_activities activity=crp --tenant hospital
"""

from __future__ import annotations

from handlers.care.actions import Case, apply_activity
from pipeline import Change, Event, Update, inc, maximum, minimum, observer


@observer(
    "care.count",
    after=apply_activity,
    table="care_activities",
    key="{tenant}:{after.department}:{after.activity}",
    indexes="activity",
)
def count_activity(change: Change[Case], event: Event) -> Update:
    """One more of the activity, and one more that followed on the case's activity before."""
    before = change.before.activity if change.before else "nothing"
    return (
        inc({"times": 1, f"follows.{before}": 1})
        | minimum(first_at=event.occurred_at)
        | maximum(last_at=event.occurred_at)
    )


@observer("care.stand", after=apply_activity, table="care_phases", key="{tenant}")
def count_phase(change: Change[Case], _event: Event) -> Update | None:
    """One case moves from the phase it was in to the one it is in."""
    before, after = change.before, change.after
    if before is None:
        return inc({f"standing.{after.phase}": 1, "cases": 1})
    if before.phase == after.phase:
        return None
    return inc({f"standing.{before.phase}": -1, f"standing.{after.phase}": 1})
