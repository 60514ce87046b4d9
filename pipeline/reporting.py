"""What RQ is told of a run's outcome."""

from __future__ import annotations

from pipeline.executor import Outcome
from pipeline.queue import Report, Shelved


def report(outcome: Outcome) -> Report:
    """What to enqueue, and what to show in the registries of scheduled and failed jobs."""
    shelved = []
    for failed in outcome.failures:
        if failed.pending:
            error = failed.row.error or {}
            cause = error.get("traceback") or f"{error.get('type')}: {error.get('message')}"
            shelved.append(Shelved(failed.batch, failed.due_at, cause))
    return Report(outcome.following, shelved)
