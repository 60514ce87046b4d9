"""Applying an update to a dict itself, for who applies millions of them to few documents.

It means what `Update.apply` means, and so what MongoDB does; a property test holds them
together. Nothing is copied but what the update brings.
"""

# An update's fields are private to this package, not to one module of it.
# ruff: noqa: SLF001

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from operator import gt, lt
from typing import Any, Final

from pipeline.errors import UpdateError
from pipeline.updates.operators import MISSING, OPERATORS
from pipeline.updates.update import Update
from pipeline.updates.values import INT64_MAX, INT64_MIN

_Undo = tuple[dict[str, Any], str, Any]  # a dict, a field of it, and what it held
_ACTS: Final[dict[str, Callable[[str, Any, Any], Any]]] = {
    name: operator.act for name, operator in OPERATORS.items()
}


def apply_in_place(update: Update, document: dict[str, Any], *, new: bool = False) -> bool:
    """Change the document as MongoDB's upsert would.

    Args:
        update: what shall happen.
        document: what is stored, of dicts, lists and plain values that nobody else changes.
        new: whether this very write creates the document, so that `set_on_insert` counts.

    Returns:
        Whether the document has a field now, at any depth, that it did not have.

    Raises:
        UpdateError: MongoDB would refuse it; the document is as it was.
    """
    fields = update._fields
    undo: list[_Undo] = []
    grown = False
    try:
        for path, above, last in _steps(tuple(fields)):
            name, value = fields[path]
            if name == "set_on_insert" and not new:
                continue
            inner = document
            for segment in above:
                child = inner.get(segment, MISSING)
                inner = child if type(child) is dict else _entered(inner, segment, path, undo)
            current = inner.get(last, MISSING)
            undo.append((inner, last, current))
            if current is MISSING:
                grown = True
            inner[last] = _ACTS[name](path, current, value)
    except UpdateError:
        _take_back(undo)
        raise
    return grown


Paths = tuple[str, ...]
Steps = tuple[tuple[str, tuple[str, ...], str], ...]

_BEATS: Final[dict[str, Callable[[Any, Any], bool]]] = {"max": gt, "min": lt}
_ORDERED: Final = frozenset({int, str, datetime})


def apply_quickly(update: Update, steps: Steps, document: dict[str, Any]) -> bool:
    """Change the document if that is as simple as nearly all of it is.

    That is: every path holds a whole number to add to, or something to raise or lower to
    another of its type. It takes half the time of `apply_in_place`, which means the same and
    does the rest.

    Args:
        update: what shall happen.
        steps: `steps_of` the update.
        document: as for `apply_in_place`.

    Returns:
        Whether it was so; otherwise the document is as it was.
    """
    fields = update._fields
    writes: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for path, above, last in steps:
            name, value = fields[path]
            inner = document
            for segment in above:
                inner = inner[segment]
            current = inner[last]
            kind = type(current)
            if kind is not type(value):
                return False
            if name == "inc" and kind is int:
                value += current
                if not INT64_MIN <= value <= INT64_MAX:
                    return False
            elif kind not in _ORDERED:
                return False
            elif not _BEATS[name](value, current):
                continue
            writes.append((inner, last, value))
    except (KeyError, TypeError):  # another operator, or a field that holds nothing like it
        return False
    for inner, last, value in writes:
        inner[last] = value
    return True


def paths_of(update: Update) -> Paths:
    """The update's paths, in its own order."""
    return tuple(update._fields)


def steps_of(update: Update) -> Steps:
    """The way to each of the update's paths; the same for every update with these paths."""
    return _steps(tuple(update._fields))


def touches(update: Update, names: frozenset[str]) -> bool:
    """Whether the update changes one of these fields, or something inside of one.

    Args:
        update: what shall happen.
        names: fields of the document itself, without dots.
    """
    return not (names.isdisjoint(update._fields) and names.isdisjoint(update._parents))


def operators_of(update: Update) -> list[tuple[str, str]]:
    """Each path that the update changes, with the name of the operator that does it."""
    return [(path, name) for path, (name, _) in update._fields.items()]


@lru_cache(maxsize=8192)
def _steps(paths: Paths) -> Steps:
    """Each path with its segments, in the order in which MongoDB adds new fields."""
    segments = sorted((tuple(path.split(".")), path) for path in paths)
    return tuple((path, parts[:-1], parts[-1]) for parts, path in segments)


def _entered(outer: dict[str, Any], segment: str, path: str, undo: list[_Undo]) -> dict[str, Any]:
    """The dict that this field holds, or a new one where it is missing."""
    child = outer.get(segment, MISSING)
    if child is MISSING:
        undo.append((outer, segment, MISSING))
        child = outer[segment] = {}
    elif not isinstance(child, dict):
        raise UpdateError(
            f"{path!r}: {segment!r} holds {type(child).__name__} {child!r:.60}, no document"
        )
    return child


def _take_back(undo: list[_Undo]) -> None:
    for inner, last, held in reversed(undo):
        if held is not MISSING:
            inner[last] = held
        else:
            inner.pop(last, None)
