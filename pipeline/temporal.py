"""Rows of a temporal table, as values.

The rows of a document are a chain in the order of its events: each names the order of the
one before it, and its validity ends where the next one's begins, without gap or overlap. A
row keeps the old values of the fields it changed, so it tells the state before it as well
as the state after.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, NamedTuple

Fields = dict[str, Any]


class Row(NamedTuple):
    """The state of one document from one event to the next.

    Attributes:
        key: the document's id.
        order: order of the event that made it so.
        event: key of that event.
        prev: order of the row before; None for the first.
        valid_from: the event's time.
        valid_to: the next event's time; None for the newest row.
        state: the document's fields after the event.
        changed: old values of the fields that the event changed; None for the first row.
    """

    key: str
    order: str
    event: str
    prev: str | None
    valid_from: datetime
    valid_to: datetime | None
    state: Fields
    changed: Fields | None

    @property
    def id(self) -> str:
        """The row's id."""
        return row_id(self.key, self.order)

    @property
    def before(self) -> Fields | None:
        """The document's fields before the event; None where it did not exist."""
        return before_of(self.state, self.changed)

    @property
    def moves(self) -> dict[str, tuple[Any, Any]]:
        """By field that the event changed, its value before and after; of a new one, all."""
        if self.changed is None:
            return {name: (None, value) for name, value in self.state.items()}
        return {name: (old, self.state[name]) for name, old in self.changed.items()}

    @property
    def transition(self) -> Transition:
        """What the row's event changed."""
        return Transition(self.before, self.state)


class Transition(NamedTuple):
    """The two sides of a change: a document's fields before (None: new) and after an event."""

    before: Fields | None
    after: Fields

    @property
    def digest(self) -> str:
        """Alike for changes that are alike, whatever the order of their fields."""
        content = json.dumps(self, sort_keys=True, default=str).encode()
        return hashlib.blake2b(content, digest_size=12).hexdigest()


def before_of(state: Fields, changed: Fields | None) -> Fields | None:
    """The fields before an event, from those after it and the old values it changed."""
    return None if changed is None else {**state, **changed}


def row_id(key: str, order: str) -> str:
    """`<document key>|<order>`."""
    return f"{key}|{order}"
