"""The end of a transaction: its batches are done, and what comes of them is pending."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pipeline.executor.outcome import Outcome
from pipeline.settings import Settings
from pipeline.store import Batch, Records, RunRecord


def settle(
    tx: Records,
    batches: Sequence[Batch],
    outcome: Outcome,
    settings: Settings,
    run: RunRecord,
    now: datetime,
) -> None:
    """Mark the batches done by this run, and add what the outcome says.

    Raises:
        Outdated: some of them were done already, or are gone.
    """
    # The caller enqueues them; the sweeper does where that failed.
    soon = now + timedelta(seconds=settings.rescue_after)
    pending: list[tuple[Batch, datetime | None]] = [(batch, soon) for batch in outcome.following]
    pending += [(failed.batch, failed.due_at) for failed in outcome.failures if failed.pending]
    pending += [(held.batch, held.due_at) for held in outcome.held]
    claimed = [batch.id for batch in batches]
    tx.batches.settle(claimed, run, pending, along=outcome.along, created_at=now)
