"""Made-up notes and operations for tests of the pins on charts."""

from datetime import datetime

from pipeline.store import Note, Operation, Phase


def note(
    at: datetime, action: str = "requeue", *, actor: str = "ann", outcome: str | None = "done"
) -> Note:
    """A note of this moment."""
    name = f"{at:%Y%m%dT%H%M%S%f}-{action}"
    return Note(name, at, actor, "operator", action, {"letters": ["e1"]}, outcome=outcome)


def ended(at: datetime, phase: Phase = Phase.DONE, *, name: str = "o1") -> Operation:
    """An operation that ended so at this moment."""
    return Operation(
        name, "requeue", {}, "ann", "", at, 1200, 50, phase=phase, started_at=at, ended_at=at
    )
