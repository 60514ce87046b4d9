"""What visitors write into forms and addresses, read."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.errors import PipelineError


def moment_of(text: str) -> datetime | None:
    """The moment that is written so, in UTC where nothing else is said; None for nothing.

    Raises:
        PipelineError: it is no time.
    """
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PipelineError(f"{text!r} is no time; write 2024-05-01T10:00:00Z") from None
