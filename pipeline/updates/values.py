"""What may stand in an update, checked once, when it is built.

A value comes out of its check in the form it will have after a round through MongoDB:
moments in UTC whole milliseconds, tuples as lists, subclasses as their plain type, and
containers copied so that nobody can change an update from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from functools import lru_cache
from math import isfinite
from typing import Any, Final

from bson.decimal128 import create_decimal128_context

from pipeline.errors import UpdateError

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
MAX_DEPTH: Final = 50
"""Levels of a path, and of a value. MongoDB allows 100 in a document, so both fit together."""

DECIMAL: Final[Context] = create_decimal128_context()
"""Decimal128 as MongoDB calculates with it: 34 digits, rounded half to even."""

EXACT: Final[Context] = create_decimal128_context()
"""As DECIMAL, but an operation that would have to round raises."""
for _signal in (Inexact, InvalidOperation, Overflow):
    EXACT.traps[_signal] = True

Check = Callable[[str, Any], Any]

_NOT_DOTTED: Final[frozenset[str]] = frozenset()


@lru_cache(maxsize=8192)
def checked_path(path: str) -> tuple[str, frozenset[str]]:
    """The path as a plain string, and every path above it.

    Raises:
        UpdateError: MongoDB would refuse the path, or read it as an array's index.
    """
    if not isinstance(path, str):
        raise UpdateError(f"a field path is a string, not {type(path).__name__} {path!r}")
    path = _text("a field path", path)
    segments = path.split(".")
    for segment in segments:
        _check_segment(path, segment)
    if segments[0] == "_id":
        raise UpdateError(f"{path!r}: the key of a document can't be updated")
    if len(segments) > MAX_DEPTH:
        raise UpdateError(f"{path!r}: more than {MAX_DEPTH} levels")
    if len(segments) == 1:
        return path, _NOT_DOTTED
    return path, frozenset(".".join(segments[:depth]) for depth in range(1, len(segments)))


def _check_segment(path: str, segment: str) -> None:
    if not segment:
        raise UpdateError(f"{path!r}: a part of the path is empty")
    if segment[0] == "$":
        raise UpdateError(f"{path!r}: a part of the path starts with $, which MongoDB reserves")
    if "\0" in segment:
        raise UpdateError(f"{path!r}: NUL is not allowed in a path")
    if segment.isascii() and segment.isdigit():
        raise UpdateError(
            f"{path!r}: {segment!r} would address an array's element; "
            f"put a letter in front, as in 'n{segment}'"
        )


def checked_value(path: str, value: Any) -> Any:
    """The value as MongoDB keeps it.

    Raises:
        UpdateError: the value has no exact equal in BSON.
    """
    return _checked(path, value, 1)


def checked_orderable(path: str, value: Any) -> Any:
    """A value that `maximum` and `minimum` can order: a number, a string or a moment.

    Raises:
        UpdateError: it is something else, or has no exact equal in BSON.
    """
    check = _ORDERABLE.get(type(value))
    if check is not None:
        return check(path, value)
    base = _base_of(value)
    if base not in _ORDERABLE:
        raise UpdateError(
            f"{path!r}: maximum and minimum take int, float, Decimal, str or datetime, "
            f"not {_shown(value)}"
        )
    return _SCALARS[base](path, value)


def checked_amount(path: str, value: Any) -> int | Decimal:
    """An amount that `inc` can add: the sum never depends on the order of events.

    Raises:
        UpdateError: it is a float, a bool or no number at all, or it is out of range.
    """
    base = int if type(value) is int else _base_of(value)
    if base is int:
        # Whatever is added can be taken off again.
        if -INT64_MAX <= value <= INT64_MAX:
            return int(value)
        raise UpdateError(f"{path!r}: {value} does not fit in 64 bits, or its opposite does not")
    if base is Decimal:
        return _decimal(path, value)
    hint = (
        ": a sum of floats depends on the order of events; use whole cents or Decimal"
        if base is float
        else ""
    )
    raise UpdateError(f"{path!r}: inc takes int or Decimal, not {_shown(value)}{hint}")


def added_exactly(path: str, one: int | Decimal, other: int | Decimal) -> int | Decimal:
    """The sum of two amounts.

    Raises:
        UpdateError: it leaves 64 bits, or needs more than Decimal128's 34 digits.
    """
    if type(one) is int and type(other) is int:
        total = one + other
        if INT64_MIN <= total <= INT64_MAX:
            return total
        raise UpdateError(f"{path!r}: {one} + {other} does not fit in 64 bits")
    try:
        return EXACT.add(Decimal(one), Decimal(other))
    except DecimalException:
        raise UpdateError(f"{path!r}: {one} + {other} needs more than 34 digits") from None


def copied(value: Any) -> Any:
    """The value with its dicts and lists copied, so that changing one leaves the other."""
    kind = type(value)
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}
    if kind is list:
        return [copied(item) for item in value]
    return value


def _checked(path: str, value: Any, depth: int) -> Any:
    check = _SCALARS.get(type(value)) or _SCALARS.get(_base_of(value))
    if check is not None:
        return check(path, value)
    if depth > MAX_DEPTH:
        raise UpdateError(f"{path!r}: the value is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, list | tuple):
        return [_checked(path, item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {_key(path, key): _checked(path, item, depth + 1) for key, item in value.items()}
    raise UpdateError(
        f"{path!r}: an update takes None, bool, int, float, str, datetime, Decimal, and lists "
        f"and dicts of these, not {_shown(value)}{_hint(value)}"
    )


def _hint(value: object) -> str:
    if isinstance(value, set | frozenset):
        return "; a set has no order, pass a sorted list"
    if isinstance(value, date):
        return "; pass a datetime, or the date's isoformat()"
    return "; pass its text, str(value), or a number"


def _key(path: str, key: object) -> str:
    if not isinstance(key, str):
        raise UpdateError(f"{path!r}: the keys of a dict are strings, not {_shown(key)}")
    if "\0" in key or key.startswith("$"):
        raise UpdateError(f"{path!r}: key {key!r} holds NUL or starts with $")
    return _text(path, key)


def _as_it_is(_path: str, value: Any) -> Any:
    return value


def _int(path: str, value: int) -> int:
    if INT64_MIN <= value <= INT64_MAX:
        return int(value)
    raise UpdateError(f"{path!r}: {value} does not fit in 64 bits")


def _float(path: str, value: float) -> float:
    if isfinite(value):
        return float(value)
    raise UpdateError(f"{path!r}: {value} is not a finite number")


def _text(path: str, value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UpdateError(
                f"{path!r}: {value!r} holds half a surrogate pair, which UTF-8 can't carry"
            ) from None
    return value if type(value) is str else str.__str__(value)


def _moment(path: str, value: datetime) -> datetime:
    if type(value) is datetime and value.tzinfo is UTC:
        spare = value.microsecond % 1000
        return value.replace(microsecond=value.microsecond - spare) if spare else value
    if value.utcoffset() is None:
        raise UpdateError(f"{path!r}: {value} has no time zone; pass one, as in tzinfo=UTC")
    try:
        utc = value.astimezone(UTC)
    except OverflowError:
        raise UpdateError(f"{path!r}: {value} is out of range in UTC") from None
    day = (utc.year, utc.month, utc.day)
    millisecond = utc.microsecond // 1000 * 1000
    return datetime(*day, utc.hour, utc.minute, utc.second, millisecond, tzinfo=UTC)


def _decimal(path: str, value: Decimal) -> Decimal:
    try:
        plain = EXACT.create_decimal(value)
    except DecimalException:
        plain = Decimal("NaN")
    if plain.is_finite():
        return plain
    raise UpdateError(f"{path!r}: {value} does not fit in Decimal128: finite, at most 34 digits")


_SCALARS: Final[dict[type, Check]] = {
    type(None): _as_it_is,
    bool: _as_it_is,
    int: _int,
    float: _float,
    str: _text,
    datetime: _moment,
    Decimal: _decimal,
}
_ORDERABLE: Final[dict[type, Check]] = {
    kind: _SCALARS[kind] for kind in (int, float, Decimal, str, datetime)
}


def _base_of(value: object) -> type:
    """The plain type of a value, bool before int; `object` where it is none of ours."""
    return next((kind for kind in _SCALARS if isinstance(value, kind)), object)


def _shown(value: object) -> str:
    return f"{type(value).__name__} {value!r:.60}"
