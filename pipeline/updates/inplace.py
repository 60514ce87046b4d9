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
            # The two cases that are nearly all; the operators' own functions know the rest.
            kind = type(current)
            if kind is int and name == "inc" and type(value) is int:
                total = current + value
                if INT64_MIN <= total <= INT64_MAX:
                    inner[last] = total
                    continue
            elif kind is datetime and name in ("max", "min") and type(value) is datetime:
                if current.tzinfo is not None:
                    inner[last] = max(current, value) if name == "max" else min(current, value)
                    continue
            elif current is MISSING:
                grown = True
            inner[last] = _ACTS[name](path, current, value)
    except UpdateError:
        _take_back(undo)
        raise
    return grown


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
def _steps(paths: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...], str], ...]:
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
