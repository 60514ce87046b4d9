"""The six operators: what each accepts, how two merge, and what each does to a field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from bson import Decimal128

from pipeline.errors import UpdateError
from pipeline.updates.ordering import identity, precedes
from pipeline.updates.values import (
    DECIMAL,
    INT64_MAX,
    INT64_MIN,
    added_exactly,
    checked_amount,
    checked_orderable,
    checked_value,
    copied,
)

MISSING: Final = object()
"""Stands for a field that the document does not have."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One way to change a field.

    Attributes:
        name: its stable name in stored updates.
        mongo: its name in MongoDB.
        check: (path, value) to the value as it is kept, or UpdateError.
        merge: (path, first, second) to the one value that does what both do.
        act: (path, what the field holds or MISSING, value) to what it holds then.
        say: value to words for a person.
    """

    name: str
    mongo: str
    check: Callable[[str, Any], Any]
    merge: Callable[[str, Any, Any], Any]
    act: Callable[[str, Any, Any], Any]
    say: Callable[[Any], str]


def _increased(path: str, current: Any, amount: int | Decimal) -> Any:
    if current is MISSING:
        return amount
    if isinstance(current, Decimal128):
        current = current.to_decimal()
    if isinstance(current, bool) or not isinstance(current, int | float | Decimal):
        raise UpdateError(f"{path!r}: can't add to {type(current).__name__} {current!r:.60}")
    if isinstance(current, Decimal) or isinstance(amount, Decimal):
        return DECIMAL.add(_as_decimal(current), Decimal(amount))
    total = current + amount
    if isinstance(total, int) and not INT64_MIN <= total <= INT64_MAX:
        raise UpdateError(f"{path!r}: {current} + {amount} does not fit in 64 bits")
    return total


def _as_decimal(number: float | Decimal) -> Decimal:
    """MongoDB reads a float as a decimal of 15 digits, not as all the digits it stands for."""
    if isinstance(number, float) and isfinite(number):
        return Decimal(f"{number:.14e}")
    return Decimal(number)


def _highest(_path: str, current: Any, value: Any) -> Any:
    return value if current is MISSING or precedes(current, value) else current


def _lowest(_path: str, current: Any, value: Any) -> Any:
    return value if current is MISSING or precedes(value, current) else current


def _checked_items(path: str, value: Any) -> list[Any]:
    if isinstance(value, set | frozenset):
        # A set's own order changes between processes, and a ledger row must not.
        value = sorted(value, key=lambda item: (type(item).__name__, repr(item)))
    items = checked_value(path, value if isinstance(value, list | tuple) else [value])
    return _joined(path, [], items)


def _joined(_path: str, first: list[Any], second: list[Any]) -> list[Any]:
    """The first list, then whatever of the second is not in it; the first list is left alone."""
    seen = {identity(item) for item in first}
    joined = list(first)
    for item in second:
        mark = identity(item)
        if mark not in seen:
            seen.add(mark)
            joined.append(item)
    return joined


def _with_items(path: str, current: Any, items: list[Any]) -> list[Any]:
    if current is MISSING:
        return copied(items)  # type: ignore[no-any-return]
    if not isinstance(current, list | tuple):
        raise UpdateError(f"{path!r}: can't add to {type(current).__name__} {current!r:.60}")
    return _joined(path, list(current), copied(items))


def _replaced(_path: str, _current: Any, value: Any) -> Any:
    return copied(value)


def _first(_path: str, first: Any, _second: Any) -> Any:
    return first


def _second(_path: str, _first: Any, second: Any) -> Any:
    return second


def _shown(value: Any) -> str:
    """The value in few words; the length of a line on a page is what matters."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        text = f"[{', '.join(map(_shown, value[:20]))}]"
    elif isinstance(value, Mapping):
        text = f"{{{', '.join(f'{key}: {_shown(item)}' for key, item in value.items())}}}"
    else:
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - a line's width


OPERATORS: Final[dict[str, Operator]] = {
    operator.name: operator
    for operator in (
        Operator("inc", "$inc", checked_amount, added_exactly, _increased, "{:+}".format),
        Operator(
            "set_on_insert",
            "$setOnInsert",
            checked_value,
            _first,
            _replaced,
            lambda value: f"set on insert {_shown(value)}",
        ),
        Operator(
            "max",
            "$max",
            checked_orderable,
            _highest,
            _highest,
            lambda value: f"max {_shown(value)}",
        ),
        Operator(
            "min",
            "$min",
            checked_orderable,
            _lowest,
            _lowest,
            lambda value: f"min {_shown(value)}",
        ),
        Operator(
            "add_to_set",
            "$addToSet",
            _checked_items,
            _joined,
            _with_items,
            lambda items: f"add {', '.join(map(_shown, items)) or 'nothing'}",
        ),
        Operator(
            "set",
            "$set",
            checked_value,
            _second,
            _replaced,
            lambda value: f"set {_shown(value)}",
        ),
    )
}
