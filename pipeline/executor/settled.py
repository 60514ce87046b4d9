"""What is settled: pairs of handler and event for which nothing is to be done."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from pipeline.declarations import Effect, Handler, Observer
from pipeline.store import LedgerState, Records
from pipeline.store.ledger import FINAL, WITH_EFFECT, row_id

Pairs = AbstractSet[tuple[str, str]]
"""Pairs of handler and event."""


def settled_pairs(tx: Records, handlers: Sequence[Handler], events: Sequence[str]) -> Pairs:
    """Those of the pairs that are done for good, or whose turn has not come.

    Where a row waits, its turn comes when what the handler follows has an effect: then there
    is a batch of it, and the row is no obstacle. So it is with an effect that has begun.
    """
    rows = tx.ledger.rows([row_id(e, h.name) for h in handlers for e in events]).values()
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
    return settled
