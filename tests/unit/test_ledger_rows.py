"""A handler's result becomes a row of the ledger, each fact in its place."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.appointments.actions import apply_appointment
from pipeline import Event
from pipeline.executor.plan import Result, Run
from pipeline.store import Batch, EventRecord, LedgerRow, LedgerState
from pipeline.updates import assign

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
EVENT = Event(
    event_id="one",
    tenant="acme",
    source="desk",
    type="appointment.scheduled",
    entity_id="7",
    occurred_at=NOON,
)
RECEIVED = EventRecord(EVENT, NOON, 0, 0)
HANDLER = replace(apply_appointment, version=7)


def test_every_fact_of_a_result_stands_under_its_own_name() -> None:
    """Rows are made by place; here they are held against the same row made by name."""
    batch = Batch.of("appointments.apply", [EVENT.key], "actions", 2)
    write_at = NOON + timedelta(seconds=3)
    marks: Any = {name: object() for name in ("state", "key", "error", "disorder", "held")}
    wrote = assign(status="scheduled")
    run = Run("another", {EVENT.key: batch}, NOON, write_at)
    row = run.row(HANDLER, RECEIVED, Result(wrote=wrote, **marks))
    assert row == LedgerRow(
        event=EVENT.key,
        handler="appointments.apply",
        wrote=wrote,
        attempt=3,
        job=batch.id,
        write_at=write_at,
        lag_ms=3_000,
        version=7,
        outdated=None,
        **marks,
    )


def test_a_row_of_no_batch_names_the_run() -> None:
    """As those of a late event's observers do, which nobody has enqueued."""
    run = Run("job", {}, NOON, NOON)
    row = run.row(HANDLER, RECEIVED, Result(LedgerState.DONE, "acme:7"))
    assert (row.job, row.attempt) == ("job", 1)
