"""Whether two values are alike, and where two documents differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NamedTuple

from bson import Decimal128

from pipeline.replay.tables import Contents
from pipeline.updates.ordering import identity

# Of one of these types, two values that Python holds equal are equal to MongoDB too.
_PLAIN: Final = frozenset({str, int, float, bool, type(None), datetime, Decimal})
_OF_THE_RUN: Final = frozenset({"_sync.read_at", "_sync.write_at", "_sync.fence", "_sync.numbers"})
_DERIVED_STAMP: Final = _OF_THE_RUN | {"_sync.event_at"}


class Absent(Enum):
    """Stands for a field that a document does not have."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = Absent.ABSENT

Unlike = tuple[str, Any, Any]  # a dotted path, and what stands there on either side


class Rules(NamedTuple):
    """What counts as a difference in one table; `compare` tells why.

    Attributes:
        ignored: paths that are not looked at.
        exact: whether 1 and 1.0 differ.
        operators: by which operators a field of the table was written, as far as is known;
            None where documents are written whole.
    """

    ignored: frozenset[str]
    exact: bool
    operators: Callable[[str], set[str]] | None

    @classmethod
    def of(cls, contents: Contents) -> Rules:
        """The rules for a table."""
        return WRITTEN_WHOLE if contents.operators is None else added_up(contents.operators)

    def unlike(
        self, expected: Mapping[str, Any], actual: Mapping[str, Any], above: str = ""
    ) -> Iterator[Unlike]:
        """Fields that differ, the innermost ones, by dotted path."""
        for name in expected if expected.keys() == actual.keys() else {**expected, **actual}:
            one, other = expected.get(name, ABSENT), actual.get(name, ABSENT)
            if type(one) is type(other) and type(one) in _PLAIN and one == other:
                continue
            path = f"{above}{name}"
            if path in self.ignored:
                continue
            if isinstance(one, dict) and isinstance(other, dict):
                yield from self.unlike(one, other, f"{path}.")
            elif not self._alike(path, one, other):
                yield path, one, other

    def _alike(self, path: str, one: Any, other: Any) -> bool:
        if one is ABSENT:
            return self._counts_nothing(path, other)
        if other is ABSENT:
            return self._counts_nothing(path, one)
        if self._is_set(path) and isinstance(one, list) and isinstance(other, list):
            return Counter(map(identity, one)) == Counter(map(identity, other))
        return alike(one, other, exact=self.exact)

    def _is_set(self, path: str) -> bool:
        return self.operators is not None and "add_to_set" in self.operators(path)

    def _is_counter(self, path: str) -> bool:
        """Whether nothing but `inc`, if anything, has written this or what it is in."""
        if self.operators is None:
            return False
        parts = path.split(".")
        above = (".".join(parts[: depth + 1]) for depth in range(len(parts)))
        return not any(self.operators(one) - {"inc"} for one in above)

    def _counts_nothing(self, path: str, value: Any) -> bool:
        """Whether this is a counter at zero, or a document of nothing but such counters."""
        if path.startswith("_sync.") or not self._is_counter(path):
            return False
        if isinstance(value, dict):
            return bool(value) and all(
                self._counts_nothing(f"{path}.{name}", item) for name, item in value.items()
            )
        if isinstance(value, Decimal128):
            value = value.to_decimal()
        return isinstance(value, int | Decimal) and not isinstance(value, bool) and value == 0


WRITTEN_WHOLE: Final = Rules(_OF_THE_RUN, exact=True, operators=None)
"""The rules for a fold's documents and their temporal rows."""


def added_up(operators: Callable[[str], set[str]]) -> Rules:
    """The rules for documents that contributions of these operators add up to."""
    return Rules(_DERIVED_STAMP, exact=False, operators=operators)


def alike(one: Any, other: Any, *, exact: bool) -> bool:
    """Whether MongoDB holds two values equal, but that the order of keys says nothing.

    Args:
        one: a value.
        other: another, from this side or from MongoDB.
        exact: whether 1 and 1.0 differ, as they do in type.
    """
    if type(one) is type(other) and type(one) in _PLAIN and one == other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            alike(item, other[name], exact=exact) for name, item in one.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            alike(item, counterpart, exact=exact)
            for item, counterpart in zip(one, other, strict=True)
        )
    if exact and _number(one) is not _number(other):
        return False
    return identity(one) == identity(other)


def _number(value: Any) -> type | None:
    """The plain type of a number, bool among them; None for anything else."""
    if isinstance(value, Decimal128):
        return Decimal
    return next((kind for kind in (bool, int, float, Decimal) if isinstance(value, kind)), None)
