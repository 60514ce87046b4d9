"""What RQ is told of a run's outcome, and of events that wait after a failure."""

from __future__ import annotations

from datetime import datetime

from pipeline.executor import Outcome
from pipeline.queue import Report, Shelved
from pipeline.store import Batch, LedgerRow


def report(outcome: Outcome) -> Report:
    """What to enqueue, and what to show as scheduled, failed or finished."""
    failures = [failed for failed in outcome.failures if failed.pending]
    waiting = [shelved(f.batch, f.due_at, f.row) for f in failures]
    return Report(outcome.following, waiting, outcome.along)


def shelved(batch: Batch, due_at: datetime | None, row: LedgerRow) -> Shelved:
    """How RQ shows the batch of one event that waits, with what its ledger row says."""
    error = row.error or {}
    cause = error.get("traceback") or f"{error.get('type')}: {error.get('message')}"
    return Shelved(batch, due_at, cause)
