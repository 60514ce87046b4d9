"""The rows of documents from a given event on, read no further than they are asked for.

A late event mostly changes few of the rows after it, however many there are. So a first,
small part is read for all documents together, and more of one, in growing parts, only where
its fold asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pipeline.declarations import Fold
from pipeline.folding import Kept
from pipeline.store import EventRecord, Records
from pipeline.temporal import Row, row_id

FIRST: Final = 16
"""Rows read at first, shared by all documents, and those that each has on top."""
PER_DOCUMENT: Final = 8
GROWTH: Final = 4
MOST_AT_ONCE: Final = 1024


class LaterRows:
    """The later rows of some documents, with their events.

    Args:
        tx: the transaction they are read in.
        action: whose documents they are.
        orders: by document key, the order from which on its rows are wanted.

    Attributes:
        records: by key, the events of all rows read so far.
    """

    def __init__(self, tx: Records, action: Fold, orders: Mapping[str, str]) -> None:
        self.records: dict[str, EventRecord] = {}
        self._tx = tx
        self._history = tx.history(action.history)
        self._first: dict[str, list[Row]] = {}
        self._asked = PER_DOCUMENT + FIRST // max(1, len(orders))
        if orders:
            places = {key: row_id(key, order) for key, order in orders.items()}
            self._first = self._history.heads(action.table, places, self._asked)
            self._load([row for rows in self._first.values() for row in rows])

    def of(self, key: str) -> Iterator[Kept]:
        """The later rows of one document, in order."""
        rows, asked = self._first.pop(key, []), self._asked
        yield from self._kept(rows)
        while len(rows) == asked:
            asked = min(asked * GROWTH, MOST_AT_ONCE)
            rows = self._history.onward(key, rows[-1].id, asked)
            self._load(rows)
            yield from self._kept(rows)

    def _load(self, rows: Sequence[Row]) -> None:
        if rows:
            self.records |= self._tx.events.load([row.event for row in rows])

    def _kept(self, rows: Sequence[Row]) -> Iterator[Kept]:
        return (Kept(row, self.records[row.event].event) for row in rows)
