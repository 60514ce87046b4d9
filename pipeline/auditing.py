"""Notes of what persons do: written before it is done, with the outcome when that is known."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from pipeline.clock import Clock
from pipeline.store import Note, Store

OUTCOME_CHARACTERS: Final = 500


class Person(NamedTuple):
    """Who does something, and as what."""

    name: str
    role: str


class Outcome:
    """What came of a thing that is noted; told by who does it."""

    def __init__(self) -> None:
        self.text = "done"

    def tell(self, text: str) -> None:
        """Say what came of it."""
        self.text = text


class Auditor:
    """Writes the notes.

    Args:
        store: where they are kept.
        clock: wall time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @contextmanager
    def noting(
        self,
        person: Person,
        action: str,
        about: dict[str, Any],
        *,
        reason: str = "",
        event: str | None = None,
        operation: str | None = None,
    ) -> Iterator[Outcome]:
        """Note that a person does what follows; what is raised within is its outcome.

        Args:
            person: who.
            action: what, in one word.
            about: on what.
            reason: why.
            event: key of the event it is about.
            operation: id of the operation it belongs to.

        Raises:
            PyMongoError: the note can't be written; then nothing is done.
        """
        now, audit = self._clock.now(), self._store.records.audit
        who = (person.name, person.role)
        note = Note(timed_id(now), now, *who, action, about, reason, event, operation)
        audit.add(note)
        outcome = Outcome()
        try:
            yield outcome
        except Exception as error:
            outcome.tell(f"failed: {type(error).__name__}: {error}")
            raise
        finally:
            audit.close(note.id, outcome.text[:OUTCOME_CHARACTERS])


def timed_id(now: datetime) -> str:
    """An id that sorts by its moment, and is nobody else's."""
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}-{secrets.token_hex(4)}"
