"""A fold's documents and their temporal rows, in memory.

A row is kept as a tuple of five and made a document when somebody asks: what ends its
validity and what stood before it are told by its neighbours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pipeline.state import State
from pipeline.tables import Document
from pipeline.temporal import row_id

Fields = dict[str, Any]
Step = tuple[str, str, datetime, Fields, Fields | None]
"""Order, key and time of an event, the fields after it, and the old values it changed."""


class Chain:
    """One document: its state, and a step for each event that was folded into it."""

    __slots__ = ("fields", "state", "steps")

    def __init__(self) -> None:
        self.state: State | None = None
        self.fields: Fields | None = None
        self.steps: list[Step] = []


Chains = dict[str, Chain]


class StateTable:
    """The documents of a fold."""

    operators = None

    def __init__(self, chains: Chains) -> None:
        self._chains = chains

    def __len__(self) -> int:
        return len(self._chains)

    def entries(self) -> Iterator[tuple[str, Document]]:
        """Every document, with what `find` knows it by."""
        return ((key, _state_of(key, chain)) for key, chain in self._chains.items())

    def find(self, document_id: str) -> tuple[str, Document] | None:
        """The document of this id."""
        chain = self._chains.get(document_id)
        return None if chain is None else (document_id, _state_of(document_id, chain))


class HistoryTable:
    """The temporal rows of a fold.

    An event has one row in it, so its order names the row; ids are longer, and are not kept.
    """

    operators = None

    def __init__(self, chains: Chains) -> None:
        self._chains = chains

    def __len__(self) -> int:
        return sum(len(chain.steps) for chain in self._chains.values())

    def entries(self) -> Iterator[tuple[str, Document]]:
        """Every row, with what `find` knows it by."""
        for key, chain in self._chains.items():
            for at, step in enumerate(chain.steps):
                yield step[0], _row_of(key, chain.steps, at)

    def find(self, document_id: str) -> tuple[str, Document] | None:
        """The row of this id."""
        # Both halves of an id may hold a bar themselves, so every one is tried.
        bar = document_id.find("|")
        while bar >= 0:
            key, order = document_id[:bar], document_id[bar + 1 :]
            chain = self._chains.get(key)
            if chain is not None:
                at = bisect_left(chain.steps, order, key=_order)
                if at < len(chain.steps) and chain.steps[at][0] == order:
                    return chain.steps[at][0], _row_of(key, chain.steps, at)
            bar = document_id.find("|", bar + 1)
        return None


def _order(step: Step) -> str:
    return step[0]


def _state_of(key: str, chain: Chain) -> Document:
    order, _, event_at, fields, _ = chain.steps[-1]
    return {"_id": key, **fields, "_sync": {"order": order, "event_at": event_at}}


def _row_of(key: str, steps: list[Step], at: int) -> Document:
    order, event, valid_from, fields, changed = steps[at]
    return {
        "_id": row_id(key, order),
        "key": key,
        "event": event,
        "prev": steps[at - 1][0] if at else None,
        "valid_from": valid_from,
        "valid_to": steps[at + 1][2] if at + 1 < len(steps) else None,
        "state": fields,
        "changed": changed,
        "_sync": {"event_at": valid_from},
    }
