"""The trace of one event: every handler it goes through, and what each one did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pipeline.declarations import Handler, Writer
from pipeline.errors import NotFound
from pipeline.registry import Registry
from pipeline.store import EventRecord, LedgerRow, LedgerState, Store
from pipeline.store.batches import RunRecord

WAITING: Final = LedgerState.WAITING.value
"""What a handler without a ledger row is called too: its turn has not come."""
OUTSIDE: Final = "outside"
"""Stands for the table of an effect."""


@dataclass(frozen=True, slots=True)
class Step:
    """One handler's part in a trace, and the handlers that follow it.

    Attributes:
        handler: its name.
        table: the table it writes.
        state: the ledger's word, or `waiting`.
        row: the ledger row, if any.
        run: who ran it and since when, if it was run.
        steps: the handlers after it.
    """

    handler: str
    table: str
    state: str
    row: LedgerRow | None
    run: RunRecord | None
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trace:
    """An event, when and how often it came, and its steps."""

    record: EventRecord
    steps: list[Step]


def trace(store: Store, registry: Registry, event_id: str) -> list[Trace]:
    """The traces of all events with this id; one, unless tenants or sources share it.

    Args:
        store: where the events are.
        registry: which handlers there are now.
        event_id: the source's id, or the whole key `event_id@tenant/source`.

    Raises:
        NotFound: no event has this id.
    """
    records = store.records
    keys = records.events.keys_of(event_id)
    if not keys:
        raise NotFound(f"no event {event_id!r} is stored")
    return [_trace(store, registry, record) for record in records.events.load(keys).values()]


def _trace(store: Store, registry: Registry, record: EventRecord) -> Trace:
    rows = {row.handler: row for row in store.records.ledger.of_event(record.event.key)}
    runs = store.records.batches.runs([row.job for row in rows.values()])

    def step(handler: Handler) -> Step:
        row = rows.pop(handler.name, None)
        if row is not None and row.state is LedgerState.WAITING:
            row = None
        return Step(
            handler=handler.name,
            table=handler.table if isinstance(handler, Writer) else OUTSIDE,
            state=row.state.value if row else WAITING,
            row=row,
            run=runs.get(row.job) if row else None,
            steps=[
                step(one)
                for one in (*registry.observers_of(handler), *registry.effects_of(handler))
            ],
        )

    steps = [step(action) for action in registry.actions_for(record.event.type)]
    # Rows of handlers that no loaded module declares any more are part of what happened.
    steps += [Step(r.handler, "?", r.state.value, r, runs.get(r.job)) for r in rows.values()]
    return Trace(record, steps)


def as_json(found: Trace) -> dict[str, Any]:
    """The trace for programs."""
    record, event = found.record, found.record.event
    return {
        "event": {
            "key": event.key,
            "event_id": event.event_id,
            "tenant": event.tenant,
            "source": event.source,
            "type": event.type,
            "entity_id": event.entity_id,
            "seq": event.seq,
            "occurred_at": event.occurred_at,
            "payload": event.payload,
        },
        "received_at": record.received_at,
        "copies": record.copies,
        "conflicts": record.conflicts,
        "voided": record.voided._asdict() if record.voided else None,
        "steps": [_step_json(step) for step in found.steps],
    }


def _step_json(step: Step) -> dict[str, Any]:
    row, run = step.row, step.run
    found: dict[str, Any] = {"handler": step.handler, "table": step.table, "state": step.state}
    if row is not None:
        found |= {
            "key": row.key,
            "wrote": row.wrote.describe(),
            "attempt": row.attempt,
            "job": row.job,
            "write_at": row.write_at,
            "lag_ms": row.lag_ms,
            "late_ms": row.late_ms,
            "mark": row.disorder.mark.value if row.disorder else None,
            "error": row.error,
        }
    if row is not None and row.outdated is not None:
        found["outdated"] = {"at": row.outdated.at, "by": row.outdated.by}
    if row is not None and run is not None:
        found |= {
            "worker": run.worker,
            "read_at": run.read_at,
            "read_ms": milliseconds(run.read_at, row.write_at),
        }
    return found | {"steps": [_step_json(child) for child in step.steps]}


def milliseconds(start: datetime, end: datetime) -> int:
    """From one moment to another, in whole milliseconds."""
    return round((end - start).total_seconds() * 1000)
