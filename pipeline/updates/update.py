"""An update as a value, and corrections."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Self

from pipeline.errors import UpdateError
from pipeline.updates.operators import MISSING, OPERATORS
from pipeline.updates.ordering import precedes, same
from pipeline.updates.values import added_exactly, checked_path

# What a document is created with says what it is, and is no contribution to take back.
_SUBTRACTABLE: Final = frozenset({"inc", "set_on_insert"})
_MERGE: Final[dict[str, Callable[[str, Any, Any], Any]]] = {
    name: operator.merge for name, operator in OPERATORS.items()
}
NO_PARENTS: Final[frozenset[str]] = frozenset()

Entry = tuple[str, Any]  # an operator's name, and its value as the operator's check left it


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Update:
    """What shall happen to one document, field by field.

    Build one with `inc`, `set_on_insert`, `maximum`, `minimum`, `add_to_set` and `assign`,
    and join them with `|`. An update that says nothing is falsy.
    """

    _fields: dict[str, Entry]
    # Every path above a dotted one: an update that names such a path contradicts itself.
    _parents: frozenset[str]

    def __init__(self, fields: dict[str, Entry], parents: frozenset[str]) -> None:
        # Half the time of the __init__ a frozen dataclass has; updates are made by the million.
        _set_fields(self, fields)
        _set_parents(self, parents)

    @classmethod
    def nothing(cls) -> Self:
        """The update that changes nothing and creates no document."""
        return cls({}, NO_PARENTS)

    @classmethod
    def from_stored(cls, stored: Mapping[str, Mapping[str, Any]]) -> Update:
        """The update that `to_stored` wrote.

        Raises:
            UpdateError: it is not an update.
        """
        fields: dict[str, Entry] = {}
        parents = NO_PARENTS
        for name, values in _by_operator(stored):
            for raw, value in values.items():
                path, above = checked_path(raw)
                if path in fields:
                    raise UpdateError(f"{path!r} stands twice in a stored update")
                fields[path] = name, OPERATORS[name].check(path, value)
                parents |= above
        if not parents.isdisjoint(fields):
            raise overlap(fields, parents)
        return cls(fields, parents)

    @property
    def paths(self) -> frozenset[str]:
        """The fields it changes, as dotted paths."""
        return frozenset(self._fields)

    @property
    def subtractable(self) -> bool:
        """Whether its effect on a document can be taken back without the other updates."""
        for name, _ in self._fields.values():  # noqa: SIM110 - twice as fast as all(...)
            if name not in _SUBTRACTABLE:
                return False
        return True

    def uses(self, operator: str) -> bool:
        """Whether it changes a field by this operator."""
        for name, _ in self._fields.values():  # noqa: SIM110 - as above
            if name == operator:
                return True
        return False

    def paths_of(self, operator: str) -> frozenset[str]:
        """The fields it changes by this operator."""
        return frozenset(path for path, (name, _) in self._fields.items() if name == operator)

    def values_of(self, operator: str) -> dict[str, Any]:
        """By path, the values of this operator."""
        return {path: value for path, (name, value) in self._fields.items() if name == operator}

    @property
    def operators(self) -> dict[str, str]:
        """By path, the operator that changes it."""
        return {path: name for path, (name, _) in self._fields.items()}

    def only(self, paths: Collection[str]) -> Update:
        """The part of it that changes these fields."""
        fields = {path: entry for path, entry in self._fields.items() if path in paths}
        above = (checked_path(path)[1] for path in fields)
        return Update(fields, NO_PARENTS.union(*above))

    def bears_on(self, document: Mapping[str, Any], besides: Update) -> frozenset[str]:
        """Paths whose value in a document that got this update may hang on it.

        A maximum that has been exceeded since, or a minimum undercut, does not: without this
        update the document would be the same there. Nor does what another update, which the
        document got too, has said as well.
        """
        return frozenset(
            path
            for path, (name, value) in self._fields.items()
            if not _outdone(name, value, _found(document, path))
            and not _said(name, value, besides._fields.get(path))
        )

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self._fields)

    def __eq__(self, other: object) -> bool:
        """Alike in every path, operator, value and type of value: 1 is not 1.0."""
        if not isinstance(other, Update):
            return NotImplemented
        return self._fields.keys() == other._fields.keys() and all(
            name == other._fields[path][0] and same(value, other._fields[path][1])
            for path, (name, value) in self._fields.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Update) -> Update:
        """One update that does what this one and then the other do in a single write.

        A single write: whether the document is new is decided before both, so the parts for
        a new document add up, and where both name a field the first one's value stays.

        Raises:
            UpdateError: a path stands in two operators, or above another; or a sum of `inc`
                can't be held exactly.
        """
        if not other._fields:
            return self
        if not self._fields:
            return other
        fields = {**self._fields, **other._fields}
        if len(fields) < len(self._fields) + len(other._fields):
            fields |= merged(self._fields, other._fields)
        parents, above = self._parents, other._parents
        if above and above is not parents:
            parents = parents | above if parents else above
        if parents and not parents.isdisjoint(fields):
            raise overlap(fields, parents)
        return Update(fields, parents)

    def to_mongo(self) -> dict[str, dict[str, Any]]:
        """The update document for an upsert; empty for `nothing()`, which must not be sent."""
        document: dict[str, dict[str, Any]] = {}
        for path, (name, value) in self._fields.items():
            sent = {"$each": value} if name == "add_to_set" else value
            document.setdefault(OPERATORS[name].mongo, {})[path] = sent
        return document

    def apply(self, document: Mapping[str, Any] | None) -> dict[str, Any]:
        """The document as MongoDB would leave it after an upsert.

        Args:
            document: what is stored, or None where nothing is. It is left as it was; the
                result shares with it whatever the update does not touch.

        Raises:
            UpdateError: MongoDB would refuse it, as it can't add a number to a string.
        """
        result = {} if document is None else dict(document)
        # MongoDB adds new fields in the order of their paths, segment by segment.
        fields = self._fields
        for path in sorted(fields, key=_segments) if self._parents else sorted(fields):
            name, value = fields[path]
            if name != "set_on_insert" or document is None:
                _act(result, path, name, value)
        return result

    def minus(self, old: Update) -> Correction:
        """What makes a document that got `old` stand as if it had got this one instead.

        A field that only `old` had increased stays, at zero if nothing else added to it.

        Raises:
            UpdateError: a sum can't be corrected by adding one amount to it. Against nothing,
                any update can.
        """
        amounts: dict[str, Entry] = {}
        recompute: set[str] = set()
        # A dict of both rather than a set of paths: the order stays the same in each process.
        for path in {**old._fields, **self._fields}:
            mine, theirs = self._fields.get(path), old._fields.get(path)
            if "inc" in ((mine or theirs or ("",))[0], (theirs or mine or ("",))[0]):
                amount = _difference(path, mine, theirs)
                if amount or theirs is None:
                    amounts[path] = "inc", amount
            elif mine is None or theirs is None or not _alike(mine, theirs):
                recompute.add(path)
        return Correction(Update(amounts, _parents_of(amounts)), frozenset(recompute))

    def to_stored(self) -> dict[str, dict[str, Any]]:
        """The update for a ledger row: by operator and path, the values.

        MongoDB can say what all rows have on one path without looking for it.
        """
        stored: dict[str, dict[str, Any]] = {}
        for path, (name, value) in self._fields.items():
            stored.setdefault(name, {})[path] = value
        return stored

    def describe(self) -> list[str]:
        """One line for each field, by path, for people."""
        return [
            f"{path} {OPERATORS[name].say(value)}"
            for path, (name, value) in sorted(self._fields.items())
        ]

    def __repr__(self) -> str:
        """The lines of `describe` in one."""
        return f"<Update {'; '.join(self.describe()) or 'nothing'}>"


# The descriptors of the slots: the only way past a frozen class's own refusal.
_set_fields: Final = Update.__dict__["_fields"].__set__
_set_parents: Final = Update.__dict__["_parents"].__set__


@dataclass(frozen=True, slots=True)
class Correction:
    """How to turn the effect of one update into the effect of another.

    Attributes:
        delta: the sums to add.
        recompute: paths that can't be corrected by adding: their value has to be found again
            from all that contributed to them.
    """

    delta: Update
    recompute: frozenset[str]

    def __bool__(self) -> bool:
        """Whether there is anything to correct."""
        return bool(self.delta) or bool(self.recompute)


def merged(mine: Mapping[str, Entry], theirs: Mapping[str, Entry]) -> dict[str, Entry]:
    """What the paths come to that both name.

    Raises:
        UpdateError: a path stands in two operators, or a sum of `inc` can't be held exactly.
    """
    both: dict[str, Entry] = {}
    for path, (name, value) in theirs.items():
        entry = mine.get(path)
        if entry is None:
            continue
        if entry[0] != name:
            raise UpdateError(
                f"{path!r} stands in both {entry[0]} and {name}; MongoDB refuses that"
            )
        both[path] = name, _MERGE[name](path, entry[1], value)
    return both


def overlap(fields: Collection[str], parents: frozenset[str]) -> UpdateError:
    """That an update would change a field and something inside of it."""
    above = min(parents.intersection(fields))
    below = min(path for path in fields if path.startswith(f"{above}."))
    return UpdateError(f"{above!r} and {below!r} can't change in one update; MongoDB refuses that")


def _by_operator(stored: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if isinstance(stored, Mapping) and all(
        name in OPERATORS and isinstance(values, Mapping) for name, values in stored.items()
    ):
        return stored.items()
    raise UpdateError(
        f"a stored update has values by path, and these by an operator of "
        f"{', '.join(OPERATORS)}; got {stored!r:.80}"
    )


@lru_cache(maxsize=8192)
def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _act(document: dict[str, Any], path: str, name: str, value: Any) -> None:
    """Change one field in place, copying the sub documents on its way."""
    *parents, last = _segments(path)
    for segment in parents:
        child = document.get(segment, MISSING)
        if child is MISSING:
            inner: dict[str, Any] = {}
        elif isinstance(child, Mapping):
            inner = dict(child)
        else:
            raise UpdateError(
                f"{path!r}: {segment!r} holds {type(child).__name__} {child!r:.60}, no document"
            )
        document[segment] = inner
        document = inner
    document[last] = OPERATORS[name].act(path, document.get(last, MISSING), value)


def _found(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for segment in _segments(path):
        value = value.get(segment, MISSING) if isinstance(value, Mapping) else MISSING
    return value


def _outdone(name: str, value: Any, stored: Any) -> bool:
    if stored is MISSING:
        return False
    if name == "max":
        return precedes(value, stored)
    return name == "min" and precedes(stored, value)


def _said(name: str, value: Any, other: Entry | None) -> bool:
    """Whether another update says as much on a path."""
    if other is None or other[0] != name or name not in ("max", "min", "add_to_set"):
        return False
    return same(OPERATORS[name].merge("", other[1], value), other[1])


def _alike(mine: Entry, theirs: Entry) -> bool:
    return mine[0] == theirs[0] and same(mine[1], theirs[1])


def _difference(path: str, mine: Entry | None, theirs: Entry | None) -> Any:
    """The amount to add.

    Raises:
        UpdateError: MongoDB can't hold it exactly, or one of the two adds nothing.
    """
    for entry in (mine, theirs):
        if entry is not None and entry[0] != "inc":
            raise UpdateError(f"{path!r}: a sum that becomes a {entry[0]}, or the other way")
    new = mine[1] if mine else 0
    if theirs is None:
        return new
    # `copy_negate`, as a plain minus would round by the caller's decimal context.
    old = theirs[1]
    negated = old.copy_negate() if isinstance(old, Decimal) else -old
    return added_exactly(path, new, negated)


def _parents_of(amounts: Mapping[str, Entry]) -> frozenset[str]:
    """The paths above these.

    Raises:
        UpdateError: one of them is above another, which one update can't say.
    """
    parents = frozenset().union(*(checked_path(path)[1] for path in amounts))
    if not parents.isdisjoint(amounts):
        raise overlap(amounts, parents)
    return parents
