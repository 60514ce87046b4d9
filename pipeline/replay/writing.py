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
from pipeline.updates.inplace import Paths, Steps, paths_of, steps_of, touches

_SOMETIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
# The operators and paths of the stamp that the live run puts on every document it writes.
_STAMP: Final = (
    assign({"_sync.read_at": _SOMETIME, "_sync.write_at": _SOMETIME})
    | maximum({"_sync.event_at": _SOMETIME})
    | inc({"_sync.contributions": 1})
)

PATHS_KNOWN: Final = 8192
"""Sets of paths that a handler's updates are known by."""


class Writer:
    """A handler's way into its derived table."""

    def __init__(self, handler: Commutative | Observer, table: DerivedTable) -> None:
        self._name = handler.name
        self._key = handler.key
        self._table = table
        names = (name for _, name, _, _ in Formatter().parse(handler.key.template) if name)
        # The fields that the framework writes: those of the key, and the stamp.
        self._known: dict[Paths, Steps] = {}
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
        steps = self._known.get(paths_of(update))
        # Nearly all updates name the paths of one before them, and need no second look.
        if steps is not None and self._table.add_quickly(
            self._key(event, after), update, steps, event.occurred_at
        ):
            return
        if update.uses("set"):
            raise HandlerFault(f"{self._name} assigns a field, which depends on arrival")
        if not update:
            return
        if touches(update, self._own):
            # Raises where the live run's single write could not say all of it.
            _ = update | set_on_insert(self._key.fields(event, after)) | _STAMP
        elif len(self._known) < PATHS_KNOWN:
            self._known[paths_of(update)] = steps_of(update)
        self._table.add(
            self._key(event, after),
            update,
            event.occurred_at,
            lambda: set_on_insert(self._key.fields(event, after)),
        )
