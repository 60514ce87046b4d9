"""The handlers of appointments, of which the first fails as `benchmarks.failing` declares.

What follows it does not fail: an event is tried again as a whole, and its attempts are those at
its first handler.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final, cast

from benchmarks.failing import declared
from handlers.appointments import actions, observers
from handlers.appointments.actions import Appointment
from pipeline import Event
from pipeline.declarations import Fold


def apply_appointment(state: Appointment | None, event: Event) -> Appointment:
    """The appointment as it stands after this event, if it is not to fail.

    Raises:
        Retry: it is, for now.
        DeclaredFailureError: it is, for good.
    """
    failing = declared()
    if failing is not None:
        failing.attempt(event, time.time())
    after: Appointment = actions.apply_appointment(state, event)
    return after


FOLD: Final = cast("Fold", replace(actions.apply_appointment, function=apply_appointment))
CONVERSIONS: Final = replace(observers.count_conversion, after=FOLD)
TENANTS: Final = replace(observers.count_tenant, after=FOLD)
