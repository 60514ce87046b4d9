"""How a large submission is cut into batches: what shares a document stays together.

Batches that are cut from a stream as it comes have many documents in common, since the events
of a document come soon after each other. Then each batch writes those documents again, and
workers wait for each other's leases. So a large submission is cut along the documents: each is
written by one of its batches, and batches that are likely to be run at the same time are about
documents far from each other, which often means other tenants and so other totals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

WINDOW: Final = 32
"""So many batches are cut from at once. Whoever has many events does best to submit as many."""


def sections(items: Sequence[T], about: Callable[[T], Sequence[str]], size: int) -> list[list[T]]:
    """Cut items into sections of about a size, with all that share an id in one of them.

    Items that share one only through others count as sharing it. Within a section the order is
    kept. One is larger than the size only where so many items belong together; no more items
    than the size are one section.

    Args:
        items: what is cut.
        about: ids of what an item is about, at least one; asked only where there is to cut.
        size: items of a section at most, if that can be.
    """
    if len(items) <= size:
        return [list(items)] if items else []
    joined = _Joined()
    groups: dict[str, list[int]] = {}
    some = [joined.join(about(item)) for item in items]
    for place, one in enumerate(some):
        groups.setdefault(joined.name_of(one), []).append(place)
    wanted = len(items) / (len(items) // size + 1)
    found: list[list[int]] = [[]]
    for name in sorted(groups):
        held, more = len(found[-1]), len(groups[name])
        if held >= wanted or (held and held + more > size):
            found.append([])
        found[-1] += groups[name]
    return [[items[place] for place in sorted(found[turn])] for turn in far_apart(len(found))]


def far_apart(count: int) -> list[int]:
    """The numbers below `count` in an order in which neighbours are far from each other.

    Those with their bits reversed, as van der Corput's sequence has them (1935): 0, 4, 2, 6, 1,
    5, 3, 7. Any few in a row are spread about evenly.
    """
    width = max(1, (count - 1).bit_length())
    return sorted(range(count), key=lambda number: int(f"{number:0{width}b}"[::-1], 2))


class _Joined:
    """Sets of ids that belong together, each with the name of one of them (union-find)."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def join(self, ids: Sequence[str]) -> str:
        first = self.name_of(ids[0])
        for other in ids[1:]:
            self._above[self.name_of(other)] = first
        return first

    def name_of(self, one: str) -> str:
        above = self._above
        while (higher := above.setdefault(one, one)) != one:
            above[one] = one = above[higher]
        return one
