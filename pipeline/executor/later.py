"""The rows of documents from a given event on, read no further than they are asked for.

A late event mostly changes few of the rows after it, however many there are. So a first,
small part is read for all documents together, and more of one, in growing parts, only where
its fold asks for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pipeline.folding import Kept
from pipeline.store import EventRecord, Records
from pipeline.temporal import Row, row_id

FIRST: Final = 16
"""Rows read at first, and for each document on top."""
PER_DOCUMENT: Final = 8
GROWTH: Final = 4
MOST_AT_ONCE: Final = 1024


class LaterRows:
    """The later rows of some documents, with their events.

    Args:
        tx: the transaction they are read in.
        table: the temporal table.
        orders: by document key, the order from which on its rows are wanted.

    Attributes:
        records: by key, the events of all rows read so far.
    """

    def __init__(self, tx: Records, table: str, orders: Mapping[str, str]) -> None:
        self.records: dict[str, EventRecord] = {}
        self._tx = tx
        self._history = tx.history(table)
        self._places = {key: row_id(key, order) for key, order in orders.items()}
        self._first: dict[str, list[Row]] = defaultdict(list)
        self._cut_at: str | None = None
        if orders:
            self._read_first(FIRST + PER_DOCUMENT * len(orders))

    def of(self, key: str) -> Iterator[Kept]:
        """The later rows of one document, in order."""
        rows = self._first.pop(key, [])
        yield from self._kept(rows)
        if self._cut_at is None or key not in self._places:
            return
        after = self._places[key] <= self._cut_at
        place, size = self._cut_at if after else self._places[key], FIRST * GROWTH
        while True:
            rows = self._history.onward({key: place}, size, after=after)
            self._load(rows)
            yield from self._kept(rows)
            if len(rows) < size:
                return
            place, after, size = rows[-1].id, True, min(size * GROWTH, MOST_AT_ONCE)

    def _read_first(self, limit: int) -> None:
        rows = self._history.onward(self._places, limit, after=False)
        for row in rows:
            self._first[row.key].append(row)
        if len(rows) == limit:
            self._cut_at = rows[-1].id
        self._load(rows)

    def _load(self, rows: Sequence[Row]) -> None:
        if rows:
            self.records |= self._tx.events.load([row.event for row in rows])

    def _kept(self, rows: Sequence[Row]) -> Iterator[Kept]:
        return (Kept(row, self.records[row.event].event) for row in rows)
