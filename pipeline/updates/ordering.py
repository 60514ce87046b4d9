"""The order and equality of BSON values, as MongoDB compares them.

Across types: null < numbers < string < object < array < binary < ObjectId < bool < date
< timestamp < regular expression. Numbers compare by value whatever their type, and NaN is
below all of them. The operand of `$max` or `$min` is a number, a string or a moment, so only
those need an order within their type; for the rest the type alone decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from math import isnan
from typing import Any, Final
from uuid import UUID

from bson import Binary, Code, DBRef, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp

from pipeline.errors import UpdateError

_NUMBER: Final = 10
_TEXT: Final = 15
_DATE: Final = 45

# Looked up by isinstance, so a subclass stands before its base: bool before int.
_RANKS: Final[tuple[tuple[type, int], ...]] = (
    (MinKey, -1),
    (type(None), 5),
    (bool, 40),
    (int, _NUMBER),
    (float, _NUMBER),
    (Decimal, _NUMBER),
    (Decimal128, _NUMBER),
    (Code, 60),
    (str, _TEXT),
    (Mapping, 20),
    (list, 25),
    (tuple, 25),
    (bytes, 30),
    (UUID, 30),
    (ObjectId, 35),
    (datetime, _DATE),
    (Timestamp, 47),
    (Regex, 50),
    (re.Pattern, 50),
    (DBRef, 20),
    (MaxKey, 127),
)
_RANK_OF: Final[dict[type, int]] = {kind: rank for kind, rank in _RANKS if kind is not Mapping} | {
    dict: 20
}
_ORDERED: Final = frozenset({_NUMBER, _TEXT, _DATE})
_PLAIN: Final = (bool, int, float, str, datetime, Decimal)


def precedes(one: Any, other: Any) -> bool:
    """Whether MongoDB sorts `one` before `other`, where at least one can be ordered."""
    if type(one) is type(other) and type(one) in (int, str):
        return bool(one < other)
    left, right = _rank(one), _rank(other)
    if left != right or left not in _ORDERED:
        return left < right
    return _within_type(one) < _within_type(other)


def identity(value: Any) -> tuple[Any, ...]:
    """A hashable that is equal for two values exactly if MongoDB holds them equal.

    1 and 1.0 are equal, True and 1 are not, and the order of a document's keys counts.
    """
    if type(value) is str:
        return _TEXT, value
    rank = _rank(value)
    if rank in _ORDERED:
        return rank, *_within_type(value)
    if isinstance(value, Mapping):
        return rank, *((key, identity(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return rank, *(identity(item) for item in value)
    if isinstance(value, bytes):
        return rank, value.subtype if isinstance(value, Binary) else 0, bytes(value)
    return rank, value if rank in (5, 40) else repr(value)


def same(one: Any, other: Any) -> bool:
    """Whether two values are alike in type and value, all the way down; 1 is not True.

    A subclass counts as its plain type, as which MongoDB gives it back.
    """
    if type(one) is not type(other):
        return _plain(one) is _plain(other) and bool(one == other)
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=False)
        return len(one) == len(other) and all(
            mine == theirs and same(item, counterpart)
            for (mine, item), (theirs, counterpart) in pairs
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def same_fields(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether two documents have the same fields with the same values, in any order."""
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(
        value is other[name] or same(value, other[name]) for name, value in one.items()
    )


def _plain(value: Any) -> type:
    """The type of a scalar in MongoDB's words; that of anything else is its own."""
    return next((kind for kind in _PLAIN if isinstance(value, kind)), type(value))


def _rank(value: Any) -> int:
    rank = _RANK_OF.get(type(value))
    if rank is not None:
        return rank
    for kind, rank in _RANKS:
        if isinstance(value, kind):
            return rank
    raise UpdateError(f"{type(value).__name__} {value!r:.60} is not a value MongoDB can hold")


def _within_type(value: Any) -> tuple[Any, ...]:
    """What orders values of one type; a NaN gets a shorter tuple and so comes first."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC),)
    if isinstance(value, str):
        return (value,)
    number = value.to_decimal() if isinstance(value, Decimal128) else value
    not_a_number = number.is_nan() if isinstance(number, Decimal) else isnan(number)
    return () if not_a_number else (number,)
