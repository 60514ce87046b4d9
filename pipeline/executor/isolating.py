"""Finding the event that MongoDB refuses, when a batch as a whole can't be written.

Such an error (a document too large, a sum beyond 64 bits) does not say which event or
handler it belongs to, so the batch is cut in two until one of each is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipeline.declarations import Handler
from pipeline.executor.failing import failure, parts
from pipeline.executor.outcome import Outcome
from pipeline.executor.plan import Run
from pipeline.executor.settled import look
from pipeline.executor.settling import settle
from pipeline.settings import Settings
from pipeline.store import Batch, Records, RunRecord


def isolate(
    tx: Records,
    handlers: Sequence[Handler],
    batch: Batch,
    error: Exception,
    settings: Settings,
    *,
    worker: str,
    now: datetime,
) -> Outcome:
    """Cut the batch, or record the failure of its only event in its only handler."""
    pending = tx.batches.pending([batch.id]).get(batch.id)
    if pending is None:
        return Outcome(claimed=False)
    outcome = Outcome()
    if len(handlers) == len(pending.events) == 1:
        (handler,), (event,) = handlers, pending.events
        looked = look(tx, handlers, pending.events)
        if looked.settled:  # by a heal: what was refused was its effect a second time
            settle(tx, [pending], outcome, settings, RunRecord(worker, now), now)
            return outcome
        record = tx.events.load([event])[event]
        run = Run(batch.id, {event: pending}, now, now)
        outcome.failures.append(failure(handler, record, error, run, "write", settings))
        tx.ledger.put([failed.row for failed in outcome.failures])
    else:
        outcome.following += parts(handlers, pending)
    settle(tx, [pending], outcome, settings, RunRecord(worker, now), now)
    return outcome
