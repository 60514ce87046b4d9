"""A look at the whole pipeline: what `status` prints and `up` shows."""

from __future__ import annotations

from dataclasses import dataclass

from workers.bootstrap import Application


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The pipeline at one moment.

    Attributes:
        events: events stored.
        copies: duplicates turned away.
        conflicts: duplicates with another content, turned away.
        tables: documents in each table.
        backlog: for each handler, batches and events still to be done.
        lanes: jobs waiting in each lane.
        workers: the jobs of each live worker; none for an idle one.
        trouble: ledger rows that are retrying or dead.
    """

    events: int
    copies: int
    conflicts: int
    tables: dict[str, int]
    backlog: dict[str, tuple[int, int]]
    lanes: dict[str, int]
    workers: dict[str, list[str]]
    trouble: dict[str, int]


def snapshot(app: Application) -> Snapshot:
    """Look; changes nothing, in RQ's registries neither."""
    records = app.store.records
    copies, conflicts = records.events.repeats()
    return Snapshot(
        events=records.events.count(),
        copies=copies,
        conflicts=conflicts,
        tables=app.store.counts(app.registry.tables()),
        backlog=records.batches.backlog(),
        lanes=app.queue.lengths(),
        workers=app.heartbeats.running(),
        trouble=records.ledger.in_trouble(),
    )
