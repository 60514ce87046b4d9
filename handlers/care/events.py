"""What the events of a hospital's systems say of a case."""

from __future__ import annotations

from typing import Final

from pipeline.event import Event

# The activity is the event's type itself; a system that puts a name before it may.
EVENTS: Final = (
    "er_*",
    "iv_*",
    "admission_*",
    "release_*",
    "return_er",
    "crp",
    "lacticacid",
    "leucocytes",
    "care.*",
)
NONE_GIVEN: Final = "none"

_EMERGENCY: Final = "emergency"
_PHASES: Final = {
    "er_registration": _EMERGENCY,
    "er_triage": _EMERGENCY,
    "er_sepsis_triage": _EMERGENCY,
    "return_er": _EMERGENCY,
    "admission_nc": "ward",
    "admission_ic": "intensive_care",
}
_VISITS: Final = ("er_registration", "return_er")
_NOT_KNOWN: Final = (None, "", "?")


def activity_of(event: Event) -> str:
    """What was done, such as `er_triage` or `crp`."""
    return event.type.rpartition(".")[2]


def department_of(event: Event) -> str:
    """Which department did it; `none` where the event does not say."""
    said = event.payload.get("resource")
    return NONE_GIVEN if said in _NOT_KNOWN else str(said)


def phase_of(event: Event) -> str | None:
    """The phase that the activity brings a case into; None for what is done in any phase."""
    return "released" if is_release(event) else _PHASES.get(activity_of(event))


def is_release(event: Event) -> bool:
    """Whether the case was released, in one of the ways that there are."""
    return activity_of(event).startswith("release_")


def is_visit(event: Event) -> bool:
    """Whether somebody came to the emergency room, for the first time or again."""
    return activity_of(event) in _VISITS
