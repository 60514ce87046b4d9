"""One event in time: when each handler waited, ran and wrote, and what persons did about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipeline.registry import Registry
from pipeline.store import Batch, Note, Store
from pipeline.tracing import Step, Trace, trace

MOST_BARS: Final = 200
NOTES: Final = 50


@dataclass(frozen=True, slots=True)
class Bar:
    """One handler's part of the time.

    Attributes:
        step: the handler's part in the trace.
        depth: 0 for actions, 1 for what follows them, and so on.
        since: from when on it could have run: the receipt, or the end of what it follows.
        began: when its last attempt began to read; None where that is not known.
        ended: when that attempt began to write.
        due_at: when it is looked at again; None where it is not.
    """

    step: Step
    depth: int
    since: datetime
    began: datetime | None
    ended: datetime | None
    due_at: datetime | None

    @property
    def letter(self) -> str | None:
        """The id by which decisions name it, where it is a dead letter."""
        row = self.step.row
        return row.id if row is not None and self.step.state == "dead" else None


@dataclass(frozen=True, slots=True)
class Timeline:
    """An event, its bars, and what persons did about it.

    Attributes:
        trace: every handler it goes through.
        bars: in the order of the trace; at most 200.
        cut: how many more there are.
        start: the receipt.
        end: the last moment of a bar.
        notes: what persons did about it, the newest first.
    """

    trace: Trace
    bars: list[Bar]
    cut: int
    start: datetime
    end: datetime
    notes: list[Note]

    def share(self, at: datetime) -> float:
        """Where a moment lies between start and end, 0 to 1."""
        whole = (self.end - self.start).total_seconds()
        passed = (at - self.start).total_seconds()
        return min(1.0, max(0.0, passed / whole)) if whole > 0 else 0.0


def timelines(store: Store, registry: Registry, event_id: str) -> list[Timeline]:
    """The timelines of all events with this id; one, unless tenants or sources share it.

    Args:
        store: where the events are.
        registry: which handlers there are now.
        event_id: the source's id, or the whole key.

    Raises:
        NotFound: no event has this id.
    """
    return [_timeline(store, found) for found in trace(store, registry, event_id)]


def _timeline(store: Store, found: Trace) -> Timeline:
    event, start = found.record.event.key, found.record.received_at
    steps = list(_flat(found.steps, 0, start))
    mine = {step.handler: Batch.of(step.handler, [event], "").id for step, _, _ in steps}
    waiting = store.records.batches.waiting(list(mine.values()))
    bars = []
    for step, depth, since in steps[:MOST_BARS]:
        due = waiting.get(mine[step.handler])
        row, run = step.row, step.run
        bars.append(
            Bar(
                step,
                depth,
                since,
                run.read_at if run else None,
                row.write_at if row else None,
                due[1] if due else None,
            )
        )
    end = max([start, *(bar.ended for bar in bars if bar.ended)])
    notes = store.records.audit.newest(limit=NOTES, event=event)
    return Timeline(found, bars, max(0, len(steps) - MOST_BARS), start, end, notes)


def _flat(steps: list[Step], depth: int, since: datetime) -> Iterator[tuple[Step, int, datetime]]:
    for step in steps:
        yield step, depth, since
        after = step.row.write_at if step.row is not None else since
        yield from _flat(step.steps, depth + 1, after)


def bars_json(found: Timeline) -> list[dict[str, Any]]:
    """The bars for programs."""
    return [
        {
            "handler": bar.step.handler,
            "depth": bar.depth,
            "state": bar.step.state,
            "since": bar.since,
            "began": bar.began,
            "ended": bar.ended,
            "due_at": bar.due_at,
        }
        for bar in found.bars
    ]
