"""The registry: which handlers there are, and which of them an event goes through."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Final

from pipeline.declarations import Action, Effect, Fold, Handler, Observer, Writer
from pipeline.errors import DeclarationError, UnknownHandler
from pipeline.keys import did_you_mean

SIBLINGS: Final = "+"
"""Joins the names of the observers that one batch is for; no handler's name holds it."""
TYPES_REMEMBERED: Final = 10_000
"""Event types whose handlers are kept at hand; sources may send any number of types."""


class Registry:
    """All handlers of a process, checked against each other and frozen.

    Raises:
        DeclarationError: a name is declared twice, or two handlers claim one fold's table.
    """

    def __init__(self, handlers: Iterable[Handler]) -> None:
        self._by_name: dict[str, Handler] = {}
        for handler in handlers:
            _ensure_new(handler, self._by_name)
            self._by_name[handler.name] = handler
        self._effects: dict[str, list[Effect]] = {name: [] for name in self._by_name}
        self._actions = [h for h in self._by_name.values() if isinstance(h, Action)]
        self._after: dict[str, list[Observer]] = {name: [] for name in self._by_name}
        for handler in self._by_name.values():
            if isinstance(handler, Observer | Effect):
                _ensure_loaded(handler, self._by_name)
            if isinstance(handler, Observer):
                self._after[handler.after.name].append(handler)
            elif isinstance(handler, Effect):
                self._effects[handler.after.name].append(handler)
        _ensure_single_writers(self._by_name.values())
        self._patterns = [(a, _pattern(a.on)) for a in self._actions]
        self._by_type: dict[str, tuple[Action, ...]] = {}

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._by_name.values())

    def handler(self, name: str) -> Handler:
        """The handler of this name.

        Raises:
            UnknownHandler: none of the loaded modules declares it.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownHandler(
                f"no loaded module declares the handler {name!r}"
                f"{did_you_mean(name, self._by_name)}; modules are named by PIPELINE_HANDLERS"
            ) from None

    def handlers(self, names: str) -> list[Handler]:
        """The handlers of a batch: one, or sibling observers joined by `+`.

        Raises:
            UnknownHandler: none of the loaded modules declares one of them.
        """
        return [self.handler(name) for name in names.split(SIBLINGS)]

    def actions_for(self, kind: str) -> tuple[Action, ...]:
        """The actions an event of this type goes to; empty where none asks for it."""
        found = self._by_type.get(kind)
        if found is None:
            found = tuple(a for a, pattern in self._patterns if pattern.fullmatch(kind))
            if len(self._by_type) < TYPES_REMEMBERED:
                self._by_type[kind] = found
        return found

    def observers_of(self, handler: Handler) -> list[Observer]:
        """The observers that directly follow this handler."""
        return self._after[handler.name]

    def observers_below(self, handler: Handler) -> list[Observer]:
        """All observers that follow this handler, parents before children."""
        below: list[Observer] = []
        for child in self.observers_of(handler):
            below += child, *self.observers_below(child)
        return below

    def effects_of(self, handler: Handler) -> list[Effect]:
        """The effects that follow this handler."""
        return self._effects[handler.name]

    def writers_of(self, table: str) -> list[Writer]:
        """The handlers that write this table."""
        return [h for h in self._writers() if h.table == table]

    def _writers(self) -> list[Writer]:
        return [h for h in self._by_name.values() if isinstance(h, Writer)]

    def tables(self) -> list[str]:
        """Every table that some handler writes, temporal ones included."""
        names = {h.table for h in self._writers()}
        return sorted(names | {a.history for a in self._actions if isinstance(a, Fold)})

    def indexes(self) -> dict[str, list[tuple[str, ...]]]:
        """By table, the indexes that its handlers ask for, each as fields in their turn.

        Equal values stand in the order of ids, and so a tenant's next to each other.
        """
        found: dict[str, dict[tuple[str, ...], None]] = {}
        for handler in self._writers():
            for field in handler.indexes:
                found.setdefault(handler.table, {})[field, "_id"] = None
            if isinstance(handler, Fold) and handler.timeline:
                found.setdefault(handler.history, {})[("valid_from",)] = None
        return {table: list(indexes) for table, indexes in found.items()}


def load(module_names: Iterable[str]) -> Registry:
    """The registry of all handlers declared in these modules and in their submodules.

    Raises:
        DeclarationError: a module can't be imported, or declares no handler.
    """
    found: dict[int, Handler] = {}
    for name in module_names:
        handlers = [h for module in _modules(name) for h in _handlers_in(module)]
        if not handlers:
            raise DeclarationError(f"the module {name!r} declares no handler")
        found |= {id(h): h for h in handlers}
    return Registry(found.values())


def _modules(name: str) -> Iterable[ModuleType]:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise DeclarationError(
            f"the handler module {name!r} can't be found; is its folder on PYTHONPATH, "
            f"or the current one?"
        ) from None
    yield module
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        yield from _modules(f"{name}.{info.name}")


def _handlers_in(module: ModuleType) -> Iterable[Handler]:
    return (value for value in vars(module).values() if isinstance(value, Handler))


def _ensure_new(handler: Handler, known: dict[str, Handler]) -> None:
    other = known.get(handler.name)
    if other is not None:
        raise DeclarationError(
            f"{handler.name} is declared twice: in {other.function.__module__} "
            f"and in {handler.function.__module__}"
        )


def _ensure_loaded(handler: Observer | Effect, known: dict[str, Handler]) -> None:
    if known.get(handler.after.name) is not handler.after:
        raise DeclarationError(
            f"{handler.name} follows {handler.after.name}, whose module "
            f"{handler.after.function.__module__} is not loaded"
        )


def _ensure_single_writers(handlers: Iterable[Handler]) -> None:
    """A fold owns its table and its history: another writer would be lost by a refold."""
    writers = [handler for handler in handlers if isinstance(handler, Writer)]
    for fold in (h for h in writers if isinstance(h, Fold)):
        for other in writers:
            theirs = {other.table, getattr(other, "history", None)}
            if other is not fold and theirs & {fold.table, fold.history}:
                raise DeclarationError(
                    f"{other.name} writes {other.table}, which belongs to the fold {fold.name}"
                )


def _pattern(on: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(one).replace(r"\*", ".*") for one in on))
