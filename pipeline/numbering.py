"""Which numbers of a document's events have been seen, where their source numbers them.

A source counts by itself, so each has numbers of its own: two that feed one document don't
fill each other's gaps. What has been seen is kept as ranges, which is one range for each
source while nothing is missing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, Self

from pipeline.event import Event, key_of_order, number_of_order, source_of

MOST_RANGES: Final = 100
"""Of one source in one document. Beyond that the oldest gap counts as closed."""
MOST_SOURCES: Final = 20
"""Of one document. Numbers of further sources are not looked at."""

Stored = Sequence[Sequence[str | int]]
"""As a document keeps it: source, first and last number of each range."""


class Numbering:
    """The numbers that one document has seen.

    Args:
        first: the number that every source begins with.
        stored: the ranges as `stored` gave them.
    """

    def __init__(self, first: int, stored: Stored = ()) -> None:
        self.first = first
        self._ranges: dict[str, list[list[int]]] = {}
        for source, low, high in stored:
            self._ranges.setdefault(str(source), []).append([int(low), int(high)])

    @classmethod
    def up_to(cls, first: int, order: str) -> Self:
        """The numbers of a document of which only the newest event's order is known.

        It is from before its events were numbered, and counts as complete.
        """
        newest = number_of_order(order)
        if newest is None or newest < first:
            return cls(first)
        return cls(first, [[source_of(key_of_order(order)), first, newest]])

    def copy(self) -> Numbering:
        """The same numbers, apart from these."""
        return Numbering(self.first, self.stored())

    def lacks(self, event: Event) -> bool:
        """Whether the event's predecessor is missing; False where it has no number."""
        return event.seq is not None and self.lacks_before(event.source, event.seq)

    def lacks_before(self, source: str, number: int) -> bool:
        """Whether the number before this one is missing."""
        if number <= self.first:
            return False
        ranges = self._ranges.get(source)
        if ranges is None:
            return len(self._ranges) < MOST_SOURCES
        last = ranges[-1]
        if last[0] <= number - 1 <= last[1]:
            return False
        at = bisect_right(ranges, number - 1, key=_low) - 1
        return at < 0 or ranges[at][1] < number - 1

    def add(self, event: Event) -> None:
        """Take note of the event's number, if it has one."""
        if event.seq is not None:
            self.add_number(event.source, event.seq)

    def add_number(self, source: str, number: int) -> None:
        """Take note of a number."""
        ranges = self._ranges.get(source)
        if ranges is None:
            if len(self._ranges) < MOST_SOURCES:
                self._ranges[source] = [[number, number]]
            return
        if ranges[-1][1] + 1 == number:
            ranges[-1][1] = number
            return
        at = bisect_right(ranges, number, key=_low)
        if at and number <= ranges[at - 1][1]:
            return
        ranges.insert(at, [number, number])
        _join(ranges, at)
        _join(ranges, at - 1)
        if len(ranges) > MOST_RANGES:
            ranges[:2] = [[ranges[0][0], ranges[1][1]]]

    def stored(self) -> list[list[str | int]]:
        """The ranges as a document keeps them."""
        return [
            [source, low, high] for source, ranges in self._ranges.items() for low, high in ranges
        ]


def _low(one: Sequence[int]) -> int:
    return one[0]


def _join(ranges: list[list[int]], at: int) -> None:
    """Make one of a range and the next one where nothing is missing between them."""
    if 0 <= at < len(ranges) - 1 and ranges[at][1] + 1 >= ranges[at + 1][0]:
        ranges[at : at + 2] = [[ranges[at][0], max(ranges[at][1], ranges[at + 1][1])]]
