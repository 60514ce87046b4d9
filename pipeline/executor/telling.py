"""What the log says of a run that has ended."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from pipeline.executor.outcome import Outcome
from pipeline.executor.plan import MILLISECONDS
from pipeline.store import Batch

log = structlog.get_logger(__name__)


def tell(worker: str, batches: Sequence[Batch], outcome: Outcome, seconds: float) -> None:
    """One line for the run, and one for each event that failed in it."""
    log.info(
        "batch_done" if outcome.claimed else "batch_was_done",
        handler=batches[0].handler,
        job=batches[0].id,
        worker=worker,
        batches=len(batches),
        events=sum(len(batch.events) for batch in batches),
        along=[batch.id for batch in outcome.along],
        done=outcome.done,
        repeated=outcome.repeated,
        failed=len(outcome.failures),
        late=outcome.late,
        held=len(outcome.held),
        following=len(outcome.following),
        ms=round(seconds * MILLISECONDS, 1),
    )
    for failed in outcome.failures:
        row = failed.row
        log.warning(
            "event_failed",
            handler=row.handler,
            event_key=row.event,
            state=row.state,
            attempt=row.attempt,
            error=(row.error or {}).get("message", "")[:500],
        )
