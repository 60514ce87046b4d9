"""The functions that build an update, one for each operator."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from pipeline.errors import UpdateError
from pipeline.updates.operators import OPERATORS, Operator
from pipeline.updates.update import NO_PARENTS, Entry, Update, overlap
from pipeline.updates.values import checked_path

_INC, _SET_ON_INSERT, _MAX, _MIN, _ADD_TO_SET, _SET = OPERATORS.values()


def inc(paths: Mapping[str, int | Decimal] | None = None, /, **fields: int | Decimal) -> Update:
    """Add to numbers; a field that is missing starts at zero.

    Raises:
        UpdateError: an amount is no int of 64 bits and no Decimal, or a path is refused.
    """
    return _built(_INC, paths, fields)


def set_on_insert(paths: Mapping[str, Any] | None = None, /, **fields: Any) -> Update:
    """Set fields only where this very write creates the document.

    Raises:
        UpdateError: a value or a path is refused.
    """
    return _built(_SET_ON_INSERT, paths, fields)


_Orderable = int | float | Decimal | str | datetime


def maximum(paths: Mapping[str, _Orderable] | None = None, /, **fields: _Orderable) -> Update:
    """Raise fields to at least these values, in MongoDB's order across types.

    Raises:
        UpdateError: a value is no number, string or moment, or a path is refused.
    """
    return _built(_MAX, paths, fields)


def minimum(paths: Mapping[str, _Orderable] | None = None, /, **fields: _Orderable) -> Update:
    """Lower fields to at most these values, in MongoDB's order across types: null stays.

    Raises:
        UpdateError: a value is no number, string or moment, or a path is refused.
    """
    return _built(_MIN, paths, fields)


def add_to_set(paths: Mapping[str, Any] | None = None, /, **fields: Any) -> Update:
    """Append a value, or each of a list, tuple or set of values, unless it is there already.

    Raises:
        UpdateError: a value or a path is refused.
    """
    return _built(_ADD_TO_SET, paths, fields)


def assign(paths: Mapping[str, Any] | None = None, /, **fields: Any) -> Update:
    """Set fields; of two merged updates the later one wins.

    Raises:
        UpdateError: a value or a path is refused.
    """
    return _built(_SET, paths, fields)


def _built(
    operator: Operator, paths: Mapping[str, Any] | None, fields: Mapping[str, Any]
) -> Update:
    name, check = operator.name, operator.check
    if paths:
        fields = _joined(paths, fields) if fields else paths
    entries: dict[str, Entry] = {}
    parents = NO_PARENTS
    for raw, value in fields.items():
        path, above = checked_path(raw)
        entries[path] = name, check(path, value)
        if above:
            parents = parents | above if parents else above
    if parents and not parents.isdisjoint(entries):
        raise overlap(entries, parents)
    return Update(entries, parents)


def _joined(paths: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    twice = paths.keys() & fields.keys()
    if twice:
        raise UpdateError(f"{min(twice)!r} is given twice")
    return {**paths, **fields}
