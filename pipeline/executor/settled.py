"""What the ledger says of the events of a run, where it has been asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from pipeline.declarations import Effect, Handler, Observer
from pipeline.holding import Held
from pipeline.store import LedgerRow, LedgerState, Records
from pipeline.store.ledger import FINAL, WITH_EFFECT, row_id

Pairs = AbstractSet[tuple[str, str]]
"""Pairs of handler and event."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What stands in the ledger.

    Attributes:
        rows: by id, the rows that are there.
        settled: pairs for which nothing is to be done: done for good, or not yet their turn.
        held: by event key, how events were held back that are not settled.
    """

    rows: Mapping[str, LedgerRow] = field(default_factory=dict)
    settled: Pairs = frozenset()
    held: Mapping[str, Held] = field(default_factory=dict)


def look(tx: Records, handlers: Sequence[Handler], events: Sequence[str]) -> Looked:
    """What stands in the rows of these handlers and events.

    Where a row waits, its turn comes when what the handler follows has an effect: then there
    is a batch of it, and the row is no obstacle. So it is with an effect that has begun.
    """
    found = tx.ledger.rows([row_id(e, h.name) for h in handlers for e in events])
    rows = found.values()
    settled = {(row.handler, row.event) for row in rows if row.state in FINAL}
    above = {h.name: h.after.name for h in handlers if isinstance(h, Observer | Effect)}
    waiting = {
        (row.handler, row.event): row_id(row.event, above[row.handler])
        for row in rows
        if row.state in (LedgerState.WAITING, LedgerState.SENDING) and row.handler in above
    }
    if waiting:
        leading = tx.ledger.rows(set(waiting.values()))
        settled |= {
            pair
            for pair, leader in waiting.items()
            if leader not in leading or leading[leader].state not in WITH_EFFECT
        }
    return Looked(
        found,
        settled,
        {row.event: row.held for row in rows if row.held is not None and row.state not in FINAL},
    )
