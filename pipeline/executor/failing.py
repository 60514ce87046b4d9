"""Events that had no effect: their ledger rows, and the batches they have from now on.

Pure: what it makes is written by the executor, in the transaction of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.control import ControlWord
from pipeline.declarations import Handler
from pipeline.executor.outcome import Failure
from pipeline.executor.plan import Result, Run, described
from pipeline.executor.progression import progress
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord


def failure(
    handler: Handler,
    record: EventRecord,
    error: BaseException,
    run: Run,
    stage: str,
    settings: Settings,
) -> Failure:
    """What becomes of an event after the handler, or writing its result, raised.

    Args:
        handler: whose turn it was.
        record: the event.
        error: what was raised.
        run: the run it happened in.
        stage: `handle`, `write` or `heal`.
        settings: for the number of attempts where the handler names none.
    """
    event = record.event.key
    allowed = handler.max_attempts or settings.max_attempts
    batch = run.batches.get(event)
    before = batch.attempt if batch else 0
    state, failed, due_at = progress(error, before, allowed, handler.backoff, run.write_at)
    cause = described(error, stage)
    if isinstance(error, ControlWord):
        # A word says all there is to say; where it was raised is no news.
        cause.pop("traceback")
    return Failure(
        row=run.row(handler, record, Result(state, error=cause)),
        batch=Batch.of(handler.name, [event], handler.lane, failed),
        due_at=due_at,
    )


def parts(handlers: Sequence[Handler], batch: Batch) -> Iterator[Batch]:
    """The batch in two halves of its events; of a single event, one for each handler."""
    middle = len(batch.events) // 2
    if not middle:
        for handler in handlers:
            yield Batch.of(handler.name, batch.events, batch.lane, batch.attempt, batch.deaths)
        return
    for events in (batch.events[:middle], batch.events[middle:]):
        yield Batch.of(batch.handler, events, batch.lane, batch.attempt, batch.deaths)
