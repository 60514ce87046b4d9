"""How states are told: by a sign and a word, and only then by a colour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import quote


class Said(NamedTuple):
    """A state as a person reads it.

    Attributes:
        sign: before the word.
        word: the state.
        kind: `good`, `wait` or `bad`, by which it is coloured.
    """

    sign: str
    word: str
    kind: str


STATES: Final = {
    "done": Said("✓", "done", "good"),
    "skipped": Said("✓", "nothing to do", "good"),
    "cancelled": Said("⊘", "given up", "wait"),
    "snoozed": Said("…", "looked at later", "wait"),
    "held": Said("‖", "waits for the number before it", "wait"),
    "retrying": Said("↻", "retrying", "wait"),
    "dead": Said("✗", "dead letter", "bad"),
    "waiting": Said("…", "waiting", "wait"),
    "voided": Said("⊘", "undone", "wait"),
    "sending": Said("⟳", "being done, or interrupted", "wait"),
    "planned": Said("…", "planned", "wait"),
    "running": Said("⟳", "running", "wait"),
    "stopped": Said("⊘", "stopped by a person", "wait"),
    "cut off": Said("⚠", "cut off", "bad"),
    "failed": Said("✗", "failed", "bad"),
    "late": Said("⇅", "late", "wait"),
    "tie": Said("=", "tie", "wait"),
    "gap": Said("⚠", "gap", "wait"),
    "right": Said("✓", "right", "good"),
    "repaired": Said("✓", "put right", "good"),
    "wrong": Said("✗", "wrong", "bad"),
    "unknown": Said("?", "can't be told", "wait"),
    "new": Said("✗", "new", "bad"),
    "acknowledged": Said("◐", "acknowledged", "wait"),
    "regressed": Said("↺", "regressed", "bad"),
    "ignored": Said("⊘", "ignored", "wait"),
    "again": Said("↻", "happened again", "bad"),
    "added": Said("+", "added", "good"),
    "removed": Said("-", "removed", "bad"),
    "changed": Said("≠", "changed", "wait"),
    "unfinished": Said("⟳", "not done", "wait"),
}


def said(state: str) -> Said:
    """The state for a person; one without words of its own as it is."""
    return STATES.get(state) or Said("·", state, "wait")


def as_path(text: str) -> str:
    """The text as one part of a path, whatever it holds."""
    return quote(text, safe="")


def number(value: float) -> str:
    """With separators."""
    return f"{value:,}"


def span(milliseconds: float | None) -> str:
    """A time that passed, in the unit that fits."""
    if milliseconds is None:
        return "—"
    if abs(milliseconds) < SECOND:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / SECOND
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def moment(at: datetime) -> str:
    """A moment in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def clock(seconds: float) -> str:
    """The time of day of a moment in seconds since 1970, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}"


def figure(value: float) -> str:
    """A number of which three digits matter."""
    return f"{value:,.0f}" if value >= HUNDRED else f"{value:.3g}"


def since(at: datetime, now: datetime) -> str:
    """How long ago that was."""
    return span((now - at) / timedelta(milliseconds=1))


def plain(value: Any) -> str:
    """A value of a document, for a person, in bounded length."""
    if value is None:
        return "—"
    text = moment(value) if isinstance(value, datetime) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


LONGEST: Final = 300
SECOND: Final = 1_000
HUNDRED: Final = 100
