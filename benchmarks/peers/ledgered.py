"""What is asked alike where our product's documents are kept: of ours, and of the limit."""

from __future__ import annotations

from typing import Final

from benchmarks.measuring import Commits, began_by_ledger
from benchmarks.peers.peer import Moments
from pipeline.store import Store

HANDLERS: Final = ("handlers.appointments",)


def moments_by_ledger(store: Store, commits: Commits) -> Moments:
    """When the first handler began to read each event, and when its last row was written.

    Args:
        store: where the documents are kept.
        commits: to its ledger, since before the first event.
    """
    committed = commits.last()
    return Moments(began_by_ledger(store, committed), committed)
