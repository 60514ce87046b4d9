"""From what a handler returns to a document of a derived table."""

from __future__ import annotations

from datetime import UTC, datetime
from string import Formatter
from typing import Final

from pipeline.declarations import Commutative, Observer
from pipeline.errors import HandlerFault
from pipeline.event import Event
from pipeline.replay.derived import DerivedTable
from pipeline.state import State
from pipeline.updates import Update, assign, inc, maximum, set_on_insert
from pipeline.updates.inplace import touches

_SOMETIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
# The operators and paths of the stamp that the live run puts on every document it writes.
_STAMP: Final = (
    assign({"_sync.read_at": _SOMETIME, "_sync.write_at": _SOMETIME})
    | maximum({"_sync.event_at": _SOMETIME})
    | inc({"_sync.contributions": 1})
)


class Writer:
    """A handler's way into its derived table."""

    def __init__(self, handler: Commutative | Observer, table: DerivedTable) -> None:
        self._name = handler.name
        self._key = handler.key
        self._table = table
        names = (name for _, name, _, _ in Formatter().parse(handler.key.template) if name)
        # The fields that the framework writes: those of the key, and the stamp.
        self._own = frozenset({"_sync", *(name.rpartition(".")[2] for name in names)})

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
        key = self._key(event, after)
        document = self._table.get(key)
        if document is not None:
            self._table.change(document, update, event.occurred_at)
        else:
            made_with = set_on_insert(self._key.fields(event, after))
            self._table.create(key, update | made_with, event.occurred_at)
