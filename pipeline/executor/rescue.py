"""Batches that workers died of: find the event that kills, and set it aside.

A first death may be anybody's fault, so the batch is run again, alone, and the worker notes
each event before its handler sees it. At the next death the event noted last gets a batch
of its own between its neighbours, which go on. An event that kills a worker in a batch of
its own as well is a dead letter. Without a note (Redis wiped, or a death while writing) the
batch is cut in two until one event is left.
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
from pipeline.executor.turns import Turns
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import Batch, Records, RunRecord, Store

DEADLY: Final = 2
"""Deaths of workers over one event, after which it is set aside."""
RESCUER: Final = "sweeper"
"""Who ran the batch, as its run record says."""


class Rescuer:
    """Decides how batches go on that workers died of.

    Args:
        store: where the batches are.
        registry: the handlers.
        clock: wall time.
        settings: limits.
        turns: the lines in which batches of ordered handlers wait.
    """

    def __init__(
        self, store: Store, registry: Registry, clock: Clock, settings: Settings, turns: Turns
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._turns = turns

    def rescue(self, batch_id: str, suspect: str | None) -> Outcome:
        """Note that a worker died while it ran the batch, and decide how the batch goes on.

        Args:
            batch_id: the batch.
            suspect: the event that a handler was about to see, if that was noted.

        Returns:
            What to enqueue and what was set aside; `claimed` is False where the batch is done.

        Raises:
            UnknownHandler: no loaded module declares the batch's handler.
            Unavailable: MongoDB did not answer in time; nothing has changed.
        """
        batch, outcome = self._store.transact(lambda tx: self._decide(tx, batch_id, suspect))
        if batch is not None and batch.id not in {one.id for one in outcome.following}:
            handlers = self._registry.handlers(batch.handler)
            records = self._store.read(lambda records: records.events.load(batch.events))
            self._turns.cut(handlers[0], batch, outcome.following, records)
        return outcome

    def _decide(
        self, tx: Records, batch_id: str, suspect: str | None
    ) -> tuple[Batch | None, Outcome]:
        """The batch as it was, unless it is done, and how it goes on."""
        batch = tx.batches.pending([batch_id]).get(batch_id)
        if batch is None:
            return None, Outcome(claimed=False)
        handlers = self._registry.handlers(batch.handler)
        now = self._clock.now()
        if len(batch.events) == len(handlers) == 1:
            if batch.deaths + 1 >= DEADLY:
                return batch, _set_aside(tx, handlers[0], batch, now, self._settings)
        elif suspect in batch.events or batch.deaths + 1 >= DEADLY:
            outcome = Outcome(following=list(_cut(handlers, batch, suspect)))
            settle(tx, [batch], outcome, self._settings, RunRecord(RESCUER, now), now)
            return batch, outcome
        tx.batches.note_death(batch_id, now)
        again = Batch.of(batch.handler, batch.events, batch.lane, batch.attempt, batch.deaths + 1)
        return batch, Outcome(following=[again])


def _cut(handlers: Sequence[Handler], batch: Batch, suspect: str | None) -> Sequence[Batch]:
    """Who came before the suspect, the suspect, and who after; two halves without a suspect."""
    if suspect not in batch.events or len(batch.events) == 1:
        accused = Batch.of(batch.handler, batch.events, batch.lane, batch.attempt, DEADLY - 1)
        return list(parts(handlers, accused))
    at = batch.events.index(suspect)
    cut = (batch.events[:at], batch.events[at : at + 1], batch.events[at + 1 :])
    deaths = (0, DEADLY - 1, 0)
    return [
        Batch.of(batch.handler, events, batch.lane, batch.attempt, died)
        for events, died in zip(cut, deaths, strict=True)
        if events
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
