"""Names that stand for other names: the same for the same, and nobody tells which without the seed.

A pseudonym is the beginning of an HMAC-SHA256 of the name under the seed (RFC 2104), so two
copies made with one seed still fit together, and one made with another seed tells nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from typing import Any, Final

IDS: Final = ("event_id", "tenant", "entity_id")
"""What is a name in an envelope; types and sources are what handlers go by."""
DIGITS: Final = 24
"""Of 96 bits two names of a billion are alike in one case of 10^11."""
NUMBERS: Final = 1_000_000


class Pseudonyms:
    """Disguises events.

    Args:
        seed: whoever knows it can find out whether a name is among those that were disguised.
        kept: fields of payloads that stay as they are, with all they hold; `a.b` is the field b
            of a, or of each object in a list a.
        dropped: fields of payloads that are left out, likewise.
    """

    def __init__(
        self, seed: str, kept: Collection[str] = (), dropped: Collection[str] = ()
    ) -> None:
        self._key = seed.encode()
        self._kept = frozenset(kept)
        self._dropped = frozenset(dropped)

    def of(self, name: str) -> str:
        """The name that stands for this one; a tenant, a source's id and a text have it alike."""
        return f"p{self._digest(name)[:DIGITS]}"

    def envelope(self, envelope: dict[str, Any]) -> dict[str, Any]:
        """The envelope with other ids; type, source, number and time stay."""
        return envelope | {name: self.of(envelope[name]) for name in IDS}

    def payload(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The payload with other texts and numbers, but for what is kept.

        Names of fields, truth values, null and empty texts stay. A number becomes another of its
        kind, from 0 to 999,999.
        """
        masked: dict[str, Any] = self._masked(without(payload, self._dropped), "")
        return masked

    def _masked(self, value: Any, path: str) -> Any:
        if path in self._kept:
            return value
        match value:
            case dict():
                return {name: self._masked(one, joined(path, name)) for name, one in value.items()}
            case list():
                return [self._masked(one, path) for one in value]
            case "" | bool() | None:
                return value
            case str():
                return self.of(value)
            case _:
                return type(value)(int(self._digest(repr(value)), 16) % NUMBERS)

    def _digest(self, name: str) -> str:
        return hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()


def without(payload: dict[str, Any], dropped: Collection[str]) -> dict[str, Any]:
    """The payload without these fields, at any depth; named as `Pseudonyms` takes them."""
    left: dict[str, Any] = _without(payload, frozenset(dropped), "")
    return left


def _without(value: Any, dropped: frozenset[str], path: str) -> Any:
    match value:
        case dict():
            inner = ((name, joined(path, name), one) for name, one in value.items())
            return {
                name: _without(one, dropped, at) for name, at, one in inner if at not in dropped
            }
        case list():
            return [_without(one, dropped, path) for one in value]
        case _:
            return value


def joined(path: str, name: str) -> str:
    """Where a field of an object is, by where the object is; nowhere for a payload itself."""
    return f"{path}.{name}" if path else name
