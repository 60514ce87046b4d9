"""What persons did, as pins on the time axis of charts: when, what, and where more is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from dashboards.web.words import as_path, plain
from pipeline.queue import Ring
from pipeline.store import Note, Operation, Phase

MOST: Final = 200
"""Pins of a chart; more could not be told apart."""
LEFT_OUT: Final = f"Of what persons did, the newest {MOST} things are shown."
ENDED: Final = {Phase.DONE: "done", Phase.FAILED: "failed"}
"""How operations end that have a pin; that one was stopped is a note of who stopped it."""
TICK: Final = timedelta(milliseconds=1)
"""The finest that MongoDB keeps of a moment."""


class Pin(NamedTuple):
    """One thing that a person did, or the end of an operation.

    Attributes:
        id: of the note or operation; no other pin of a chart has it.
        at: when.
        word: what, and by whom.
        link: the page that tells more.
    """

    id: str
    at: datetime
    word: str
    link: str


class Pins(NamedTuple):
    """The pins of a ring's time.

    Attributes:
        ring: which.
        until: when this was looked at, in seconds since 1970.
        pins: the oldest first.
        notes: what has to be known of them, in sentences.
    """

    ring: Ring
    until: float
    pins: list[Pin]
    notes: list[str]


def pins_of(notes: Sequence[Note], ended: Sequence[Operation], ring: Ring, now: datetime) -> Pins:
    """What these notes and ended operations come to: the newest of them, in their order.

    Args:
        notes: of the ring's time, the newest first; one more than there are pins, if there are.
        ended: likewise.
        ring: whose time it is.
        now: when this was looked at.
    """
    found = [_noted(note) for note in notes]
    found += [_end(one) for one in ended if one.phase in ENDED]
    found.sort(key=lambda pin: (pin.at, pin.id))
    left_out = [LEFT_OUT] if len(found) > MOST else []
    return Pins(ring, now.timestamp(), found[-MOST:], left_out)


def _noted(note: Note) -> Pin:
    word = f"{note.action} by {note.actor}"
    if note.outcome is None:
        word += ", cut off"
    elif note.outcome.startswith("failed:"):
        word += ", failed"
    moment = {"since": _written(note.at), "until": _written(note.at + TICK)}
    return Pin(note.id, note.at, plain(word), f"/ops/audit?{urlencode(moment)}")


def _end(operation: Operation) -> Pin:
    assert operation.ended_at is not None  # noqa: S101 - what has no end is not found
    word = f"{operation.verb} of {operation.meant:,} letters {ENDED[operation.phase]}"
    where = f"/ops/operations/{as_path(operation.id)}"
    return Pin(f"end of {operation.id}", operation.ended_at, word, where)


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(found: Pins) -> dict[str, Any]:
    """For charts and programs."""
    return {
        "span": found.ring.name,
        "seconds": found.ring.seconds,
        "until": found.until,
        "notes": found.notes,
        "pins": [{**pin._asdict(), "at": pin.at.timestamp()} for pin in found.pins],
    }
