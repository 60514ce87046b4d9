"""The appointment as it stands, and every change to it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from handlers.appointments.events import (
    EVENTS,
    NONE_GIVEN,
    channel_of,
    lead_of,
    starts_at_of,
    status_of,
)
from pipeline import Event, State, action

CHANGES: Final = "rs_appointment_changes"


class Appointment(State):
    """One appointment.

    Attributes:
        status: the last word of the last event's type, `scheduled` at first.
        lead: who it came from, `none` where no event says.
        channel: by which way it came, `none` where no event says.
        starts_at: when it starts, if known.
    """

    status: str = "unknown"
    lead: str = NONE_GIVEN
    channel: str = NONE_GIVEN
    starts_at: datetime | None = None


UNTOLD: Final = Appointment()
"""What an appointment is before its first event."""


@action(
    "appointments.apply",
    on=EVENTS,
    table="rs_appointments",
    key="{tenant}:{entity_id}",
    history=CHANGES,
    timeline=True,
)
def apply_appointment(state: Appointment | None, event: Event) -> Appointment:
    """The appointment as it stands after this event."""
    state = state or UNTOLD
    return state.replace(
        status=status_of(event),
        lead=lead_of(event) or state.lead,
        channel=channel_of(event) or state.channel,
        starts_at=starts_at_of(event) or state.starts_at,
    )
