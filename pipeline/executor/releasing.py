"""Events that wait for their predecessors: put aside, and let go once those are there.

An event that waits has a ledger row that says so and a batch of its own, due when its time is
over, so the sweeper brings it back whatever becomes of Redis. The run that applies its
predecessor makes that batch due at once, in its own transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from pipeline.declarations import Fold
from pipeline.event import source_of, tenant_of
from pipeline.executor.arriving import Graces
from pipeline.executor.outcome import HeldBack, Outcome
from pipeline.executor.plan import Plan, Run
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, LedgerRow, Records


def hold_back(
    action: Fold, plan: Plan, run: Run, records: Mapping[str, EventRecord], outcome: Outcome
) -> None:
    """Note in the outcome which events wait, and of those that failed how they had waited."""
    for event, result in plan.waiting.items():
        row = run.row(action, records[event], result)
        batch = Batch.of(action.name, [event], action.lane, row.attempt - 1)
        if row.held is not None:
            outcome.held.append(HeldBack(row, batch, row.held.until))
    if plan.ended:
        outcome.failures = [
            failed._replace(row=failed.row._replace(held=plan.ended.get(failed.row.event)))
            for failed in outcome.failures
        ]


def release(
    tx: Records, action: Fold, plan: Plan, run: Run, grace: Graces, settings: Settings
) -> list[Batch]:
    """Make due the batches of events that wait, and whose predecessors are there with this plan.

    Nobody is asked for where no tenant lets events wait. Of two runs that cross without leases
    one may overlook what the other has just put aside: that waits to the end of its grace.

    Returns:
        The batches; the caller enqueues them.
    """
    keys = {
        result.key
        for event, result in plan.results.items()
        if result.key is not None and grace(action.name, tenant_of(event))
    }
    if not keys:
        return []
    freed = list(_freed(tx.marks.held_back(action.name, keys), plan))
    if not freed:
        return []
    # Noted, so that the next run on their documents does not let them go once more.
    tx.ledger.put(row._replace(held=row.held._replace(freed=True)) for row in freed if row.held)
    batches = [Batch.of(action.name, [row.event], action.lane, row.attempt - 1) for row in freed]
    soon = run.write_at + timedelta(seconds=settings.rescue_after)
    tx.batches.postpone([batch.id for batch in batches], soon)
    return batches


def _freed(waiting: Sequence[LedgerRow], plan: Plan) -> Iterator[LedgerRow]:
    """Those that have their predecessors, or will have once the others are applied.

    Where one of them is run before another that it needs, it is put aside again.
    """
    for row in sorted(waiting, key=_number):
        numbering = plan.numbering.get(row.key or "")
        if numbering is None or row.event in plan.results:
            continue
        source, number = source_of(row.event), _number(row)
        if not numbering.lacks_before(source, number):
            numbering.add_number(source, number)
            if row.held is not None and not row.held.freed:
                yield row


def _number(row: LedgerRow) -> int:
    return row.held.seq if row.held else 0
