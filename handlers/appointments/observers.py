"""What appointments add up to: per tenant, and per tenant, lead and channel."""

from __future__ import annotations

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
    return (
        inc({f"outcomes.{outcome}": 1})
        | minimum(first_at=event.occurred_at)
        | maximum(last_at=event.occurred_at)
    )


@observer(
    "tenants.count",
    after=apply_appointment,
    table="rs_tenant_totals",
    key="{tenant}",
)
def count_tenant(change: Change[Appointment], _event: Event) -> Update:
    """One appointment moves from the status it had to the one it has."""
    before, after = change.before, change.after
    if before is None:
        return inc({f"standing.{after.status}": 1, "appointments": 1, "changes": 1})
    if before.status == after.status:
        return inc(changes=1)
    return inc({f"standing.{before.status}": -1, f"standing.{after.status}": 1, "changes": 1})
