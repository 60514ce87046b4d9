"""From what a handler returns to a document of a derived table."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from operator import attrgetter
from string import Formatter
from typing import Any, Final

from pipeline.declarations import Commutative, Observer
from pipeline.errors import HandlerFault
from pipeline.event import Event
from pipeline.keys import ENVELOPE_FIELDS
from pipeline.replay.derived import DerivedTable
from pipeline.state import State
from pipeline.tables import Document
from pipeline.updates import Update, assign, inc, maximum, set_on_insert
from pipeline.updates.inplace import touches

_SOMETIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
# The operators and paths of the stamp that the live run puts on every document it writes.
_STAMP: Final = (
    assign({"_sync.read_at": _SOMETIME, "_sync.write_at": _SOMETIME})
    | maximum({"_sync.event_at": _SOMETIME})
    | inc({"_sync.contributions": 1})
)

Mark = Callable[[Event, Any], Hashable]


class Writer:
    """A handler's way into its derived table."""

    def __init__(self, handler: Commutative | Observer, table: DerivedTable) -> None:
        self._name = handler.name
        self._key = handler.key
        self._table = table
        names = _placeholders(handler)
        # The fields that the framework writes: those of the key, and the stamp.
        self._own = frozenset({"_sync", *(name.rpartition(".")[2] for name in names)})
        self._mark = _mark_of(handler, names)
        self._known: dict[Hashable, Document] = {}

    def write(self, update: object, event: Event, after: State | None) -> None:
        """Add what the handler returned for an event.

        Raises:
            HandlerFault: it is no update, it assigns, or no key can be made of the event.
            UpdateError: the document can't take it.
        """
        if update is None:
            return
        if not isinstance(update, Update):
            raise HandlerFault(f"{self._name} returned {update!r}; expected an Update or None")
        if update.uses("set"):
            raise HandlerFault(f"{self._name} assigns a field, which depends on arrival")
        if not update:
            return
        if touches(update, self._own):
            # Raises where the live run's single write could not say all of it.
            _ = update | set_on_insert(self._key.fields(event, after)) | _STAMP
        if self._mark is None:
            self._write(self._key(event, after), update, event, after)
            return
        mark = self._mark(event, after)
        document = self._known.get(mark)
        if document is None:
            self._known[mark] = self._write(self._key(event, after), update, event, after)
        else:
            self._table.change(document, update, event.occurred_at)

    def _write(self, key: str, update: Update, event: Event, after: State | None) -> Document:
        document = self._table.get(key)
        if document is None:
            made_with = set_on_insert(self._key.fields(event, after))
            return self._table.create(key, update | made_with, event.occurred_at)
        self._table.change(document, update, event.occurred_at)
        return document


def _placeholders(handler: Commutative | Observer) -> list[str]:
    """What the handler's key is made of."""
    return [name for _, name, _, _ in Formatter().parse(handler.key.template) if name]


def _mark_of(handler: Commutative | Observer, names: list[str]) -> Mark | None:
    """What tells a handler's documents apart sooner than their keys do.

    It is the values that the key is made of, unjoined. None where one may be something else
    than a text: in a dict 1 and True are the same, and as keys they are two.
    """
    of_event = [name for name in names if name in ENVELOPE_FIELDS]
    of_state = [name.removeprefix("after.") for name in names if name.startswith("after.")]
    if len(of_event) + len(of_state) < len(names):
        return None
    event_part = attrgetter(*of_event)
    if not isinstance(handler, Observer) or not of_state:
        return lambda event, _after: event_part(event)
    types = handler.root.state.model_fields
    if any(types[name].annotation is not str for name in of_state):
        return None
    state_part = attrgetter(*of_state)
    return lambda event, after: (event_part(event), state_part(after))
