"""What appointments add up to: per tenant, and per tenant, lead and channel."""

from __future__ import annotations

from functools import lru_cache

from handlers.appointments.actions import Appointment, apply_appointment
from pipeline import Change, Event, Update, inc, maximum, minimum, observer


def outcome_of(change: Change[Appointment]) -> str | None:
    """The outcome that an appointment has come to by this change, if it has."""
    status = change.after.status
    return status if change.entered("status", status) else None


@observer(
    "conversions.count",
    after=apply_appointment,
    table="rs_lead_global_conversions",
    key="{tenant}:{after.lead}:{after.channel}",
    indexes=("lead", "channel"),
)
def count_conversion(change: Change[Appointment], event: Event) -> Update | None:
    """One more of the outcome, when an appointment comes to it."""
    outcome = outcome_of(change)
    if outcome is None:
        return None
    at = event.occurred_at
    return _outcome(outcome) | minimum(first_at=at) | maximum(last_at=at)


@observer(
    "tenants.count",
    after=apply_appointment,
    table="rs_tenant_totals",
    key="{tenant}",
)
def count_tenant(change: Change[Appointment], _event: Event) -> Update:
    """One appointment moves from the status it had to the one it has."""
    before, after = change.before, change.after
    return _move(before.status if before else None, after.status)


# There are few statuses, and updates are values: the same ones can be given again and again.


@lru_cache(maxsize=1024)
def _outcome(status: str) -> Update:
    return inc({f"outcomes.{status}": 1})


@lru_cache(maxsize=1024)
def _move(before: str | None, after: str) -> Update:
    if before is None:
        return inc({f"standing.{after}": 1, "appointments": 1, "changes": 1})
    if before == after:
        return inc(changes=1)
    return inc({f"standing.{before}": -1, f"standing.{after}": 1, "changes": 1})
