"""Running one event through one action, and through what observes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pipeline.declarations import Action, Commutative, Fold, Observer
from pipeline.errors import HandlerFault, UnknownHandler
from pipeline.event import Event
from pipeline.registry import Registry
from pipeline.replay.folded import Chain, Fields
from pipeline.replay.tables import Failure, Tables
from pipeline.replay.writing import Writer
from pipeline.state import Change, State
from pipeline.updates.ordering import same
from pipeline.updates.values import checked_value

MESSAGE_CHARACTERS: Final = 1000
_NOTHING: Final = object()

Run = Callable[[Event], None]


def run_of(action: Action, registry: Registry, tables: Tables) -> Run:
    """What runs one event after the other through this action.

    Raises:
        UnknownHandler: the action is of a kind that can't be run.
    """
    match action:
        case Fold():
            return _FoldRun(action, registry, tables)
        case Commutative():
            return _CommutativeRun(action, tables)
        case _:
            raise UnknownHandler(f"{action.name} is of no kind that can be run")


class _CommutativeRun:
    """One action that reads nothing."""

    def __init__(self, action: Commutative, tables: Tables) -> None:
        self._name = action.name
        self._function = action.function
        self._write = Writer(action, tables.derived[action.table]).write
        self._failures = tables.failures

    def __call__(self, event: Event) -> None:
        try:
            self._write(self._function(event), event, None)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
            self._failures.append(failed(event, self._name, error))


class _FoldRun:
    """One fold with all observers below it, parents before children."""

    def __init__(self, fold: Fold, registry: Registry, tables: Tables) -> None:
        self._name = fold.name
        self._function = fold.function
        self._key = fold.key
        self._model = fold.state
        self._chains = tables.chains[fold.table]
        self._failures = tables.failures
        self._observers = [
            _Watching(observer, len(registry.observers_below(observer)), tables)
            for observer in registry.observers_below(fold)
        ]

    def __call__(self, event: Event) -> None:
        try:
            key = self._key(event)
            chain = self._chains.get(key)
            before = None if chain is None else chain.state
            after = _state(self._name, self._function(before, event))
            fields, changed, whole = _settled(after, None if chain is None else chain.fields)
            if not whole:
                after = self._model.model_validate(fields)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
            self._failures.append(failed(event, self._name, error))
            return
        if chain is None:
            chain = self._chains[key] = Chain()
        chain.steps.append((event.order, event.key, event.occurred_at, fields, changed))
        chain.state, chain.fields = after, fields
        if self._observers:
            self._show(Change(before, after), event)

    def _show(self, change: Change[State], event: Event) -> None:
        """Run the observers; where one fails, those below it have nothing to follow."""
        unled = 0
        for observer in self._observers:
            if unled:
                unled -= 1
                continue
            try:
                update = observer.function(change, event)
                if update is not None:
                    observer.write(update, event, change.after)
            except Exception as error:  # noqa: BLE001 - as above
                self._failures.append(failed(event, observer.name, error))
                unled = observer.below


class _Watching:
    """An observer, where it writes, and how many observers are below it."""

    __slots__ = ("below", "function", "name", "write")

    def __init__(self, observer: Observer, below: int, tables: Tables) -> None:
        self.name = observer.name
        self.function = observer.function
        self.write = Writer(observer, tables.derived[observer.table]).write
        self.below = below


def _state(handler: str, returned: Any) -> State:
    if not isinstance(returned, State):
        raise HandlerFault(f"{handler} returned {returned!r}; a fold returns its state")
    return returned


def failed(event: Event, handler: str, error: Exception) -> Failure:
    """The failure, in words: an exception would hold on to all that its frames hold."""
    return Failure(event.key, handler, f"{type(error).__name__}: {error}"[:MESSAGE_CHARACTERS])


def _settled(state: State, held: Fields | None) -> tuple[Fields, Fields | None, bool]:
    """The state's fields, in the form that MongoDB would give them back in.

    Returns:
        The fields; old values of those that differ from the ones held, None where nothing was
        held; and whether the state read back from its fields would be this very state.

    Raises:
        UpdateError: MongoDB can't hold a value.
    """
    fields, own = state.stored(), state.__dict__
    changed: Fields | None = None if held is None else {}
    whole = True
    for name, value in fields.items():
        old = _NOTHING if held is None else held[name]
        if value is not old:
            if changed is not None and (value != old or not same(value, old)):
                changed[name] = old
            # Most are plain text: not to ask saves a tenth of the time of a whole event.
            if type(value) is not str or not value.isascii():
                value = fields[name] = checked_value(name, value)  # noqa: PLW2901 - looked at below
        if own.get(name) is not value:
            whole = False
    return fields, changed, whole
