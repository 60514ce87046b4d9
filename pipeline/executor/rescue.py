"""Batches that workers died of: find the event that kills, and set it aside.

A first death may be anybody's fault, so the batch is run again, alone, and the worker notes
each event before its handler sees it. At the next death the event noted last gets a batch
of its own, and its neighbours go on. An event that kills a worker in a batch of its own as
well is a dead letter. Without a note (Redis wiped, or a death while writing) the batch is
cut in two until one event is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pipeline.clock import Clock
from pipeline.declarations import Handler
from pipeline.errors import WorkerDied
from pipeline.executor.failing import failure, parts
from pipeline.executor.outcome import Outcome
from pipeline.executor.plan import Run
from pipeline.executor.settled import look
from pipeline.executor.settling import settle
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import Batch, Records, RunRecord, Store

DEADLY: Final = 2
"""Deaths of workers over one event, after which it is set aside."""
RESCUER: Final = "sweeper"
"""Who ran the batch, as its run record says."""


def rescue(
    store: Store,
    registry: Registry,
    clock: Clock,
    settings: Settings,
    batch_id: str,
    suspect: str | None,
) -> Outcome:
    """Note that a worker died while it ran the batch, and decide how the batch goes on.

    Args:
        store: where the batch is.
        registry: the handlers.
        clock: wall time.
        settings: limits.
        batch_id: the batch.
        suspect: the event that a handler was about to see, if that was noted.

    Returns:
        What to enqueue and what was set aside; `claimed` is False where the batch is done.

    Raises:
        UnknownHandler: no loaded module declares the batch's handler.
        Unavailable: MongoDB did not answer in time; nothing has changed.
    """

    def decide(tx: Records) -> Outcome:
        batch = tx.batches.pending([batch_id]).get(batch_id)
        if batch is None:
            return Outcome(claimed=False)
        handlers = registry.handlers(batch.handler)
        now = clock.now()
        if len(batch.events) == len(handlers) == 1:
            if batch.deaths + 1 >= DEADLY:
                return _set_aside(tx, handlers[0], batch, now, settings)
        elif suspect in batch.events or batch.deaths + 1 >= DEADLY:
            cut = list(_cut(handlers, batch, suspect))
            outcome = Outcome(following=cut)
            settle(tx, [batch], outcome, settings, RunRecord(RESCUER, now), now)
            return outcome
        tx.batches.note_death(batch_id, now)
        again = Batch.of(batch.handler, batch.events, batch.lane, batch.attempt, batch.deaths + 1)
        return Outcome(following=[again])

    return store.transact(decide)


def _cut(handlers: Sequence[Handler], batch: Batch, suspect: str | None) -> Sequence[Batch]:
    """The suspect and the others; in two halves where nobody is suspected."""
    others = [event for event in batch.events if event != suspect]
    if suspect is None or not others or len(others) == len(batch.events):
        accused = Batch.of(batch.handler, batch.events, batch.lane, batch.attempt, DEADLY - 1)
        return list(parts(handlers, accused))
    return [
        Batch.of(batch.handler, [suspect], batch.lane, batch.attempt, DEADLY - 1),
        Batch.of(batch.handler, others, batch.lane, batch.attempt),
    ]


def _set_aside(
    tx: Records, handler: Handler, batch: Batch, now: datetime, settings: Settings
) -> Outcome:
    (event,) = batch.events
    if look(tx, [handler], [event]).settled:  # by a heal, or a person took the event back
        outcome = Outcome()
        settle(tx, [batch], outcome, settings, RunRecord(RESCUER, now), now)
        return outcome
    error = WorkerDied(f"{batch.deaths + 1} workers died while they ran it")
    run = Run(batch.id, {event: batch}, now, now)
    record = tx.events.load([event])[event]
    failed = failure(handler, record, error, run, "handle", settings)
    tx.ledger.put([failed.row])
    outcome = Outcome(failures=[failed])
    settle(tx, [batch], outcome, settings, RunRecord(RESCUER, now), now)
    return outcome
