"""What is different between two payloads, field by field, in bounded length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

MOST_FIELDS: Final = 20_000
"""Fields that are held against each other."""
MOST_TOLD: Final = 200
DEEPEST: Final = 20
"""Levels below which values are compared as wholes."""
VALUE_CHARACTERS: Final = 300
NAME_CHARACTERS: Final = 100


class Difference(NamedTuple):
    """One field that is not the same.

    Attributes:
        path: where it is, such as `lines[2].price`.
        kind: `added`, `removed` or `changed`.
        before: the value as JSON, in 300 characters; None where it was added.
        after: likewise; None where it was removed.
    """

    path: str
    kind: str
    before: str | None
    after: str | None


class Differences(NamedTuple):
    """How two payloads differ.

    Attributes:
        told: the first 200 differences, by the order of names.
        more: how many there are beside them.
        cut: whether there are more fields than were looked at.
    """

    told: list[Difference]
    more: int
    cut: bool


def differences(before: dict[str, Any], after: dict[str, Any]) -> Differences:
    """Every field that one payload has and the other has not, or has with another value.

    Objects are compared by their fields, lists by their places. Values are the same where their
    JSON is: 1 is neither 1.0 nor true.
    """
    told: list[Difference] = []
    more = fields = 0
    for path, one, other in _pairs(before, after):
        fields += 1
        if fields > MOST_FIELDS:
            return Differences(told, more, cut=True)
        if one is not _ABSENT and other is not _ABSENT and _text(one) == _text(other):
            continue
        if len(told) < MOST_TOLD:
            told.append(_difference(path, one, other))
        else:
            more += 1
    return Differences(told, more, cut=False)


class _Absent:
    """Stands where there is no field, which is another thing than null."""


_ABSENT: Final = _Absent()


def _pairs(before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """The fields that can't be taken apart on both sides, by the order of names."""
    waiting: list[tuple[str, int, Any, Any]] = [("", 0, before, after)]
    while waiting:
        path, depth, one, other = waiting.pop()
        names = _names(one, other) if depth < DEEPEST else None
        if not names:
            yield path, one, other
        else:
            waiting += [
                (_path(path, name), depth + 1, _at(one, name), _at(other, name))
                for name in reversed(names)
            ]


def _names(one: Any, other: Any) -> list[Any] | None:
    """Names of fields, or places in lists, where both sides have such; else None.

    No more than are looked at, for a list may have millions.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return sorted(one.keys() | other.keys())[: MOST_FIELDS + 1]
    if isinstance(one, list) and isinstance(other, list):
        return list(range(min(max(len(one), len(other)), MOST_FIELDS + 1)))
    return None


def _at(value: Any, name: Any) -> Any:
    if isinstance(value, dict):
        return value.get(name, _ABSENT)
    return value[name] if name < len(value) else _ABSENT


def _path(path: str, name: str | int) -> str:
    if isinstance(name, int):
        return f"{path}[{name}]"
    shown = name if name.isidentifier() else json.dumps(name, ensure_ascii=False)
    shown = _short(shown, NAME_CHARACTERS)
    return f"{path}.{shown}" if path else shown


def _difference(path: str, one: Any, other: Any) -> Difference:
    before = None if one is _ABSENT else _short(_text(one), VALUE_CHARACTERS)
    after = None if other is _ABSENT else _short(_text(other), VALUE_CHARACTERS)
    kind = "added" if before is None else "removed" if after is None else "changed"
    return Difference(path, kind, before, after)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
