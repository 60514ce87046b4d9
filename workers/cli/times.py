"""Moments as a person writes them: ISO 8601, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(r"(\d{1,6})([smhdw])(?:\s*ago)?", re.ASCII)


def moment_of(text: str, now: datetime) -> datetime:
    """The moment that is meant: `2h`, `3d ago`, `2024-05-01` or `2024-05-01T10:00:00+02:00`.

    Args:
        text: what the person wrote; UTC where it names no offset.
        now: what it is counted back from.

    Raises:
        ValueError: it is none of these; the message says what would be.
    """
    text = text.strip()
    try:
        ago = _AGO.fullmatch(text)
        if ago is not None:
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no moment; write 90m, 2h or 3d for so long ago, "
            f"or a time such as 2024-05-01T10:00:00Z"
        ) from None


def moment_option(text: str) -> datetime:
    """The moment that an option of the command line means."""
    try:
        return moment_of(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def in_words(milliseconds: int) -> str:
    """A duration with its two greatest units: `0.25 s`, `12 s`, `1 min 30 s`, `3 d 4 h`."""
    seconds, rest = divmod(milliseconds, 1000)
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds + rest / 1000:g} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    while not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{number:,} {unit}" for number, unit in parts[:2] if number)
