"""Folds: read the documents, fold their events in order, write them and their rows.

A late event is folded where it belongs, the rows after it are rewritten, and everything
derived from those rows is corrected, in the same transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pipeline.declarations import Fold
from pipeline.event import Event
from pipeline.executor.healing import Healer
from pipeline.executor.plan import MILLISECOND, Contested, Plan, Result, Run
from pipeline.folding import Folded, Past, Standing, fold
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import EventRecord, LedgerState, Records
from pipeline.temporal import Row, Transition

Document = dict[str, Any]


def plan_fold(
    tx: Records,
    registry: Registry,
    action: Fold,
    records: Mapping[str, EventRecord],
    settings: Settings,
) -> Plan:
    """Run a fold on a batch."""
    by_key: dict[str, list[Event]] = defaultdict(list)
    faults: dict[str, Exception] = {}
    for record in records.values():
        try:
            by_key[action.key(record.event)].append(record.event)
        except Exception as error:  # noqa: BLE001 - a key that can't be made is its event's fault
            faults[record.event.key] = error
    for events in by_key.values():
        events.sort(key=lambda event: event.order)
    documents = tx.table(action.table).get(by_key)
    standings = {key: _standing(document) for key, document in documents.items()}
    later = tx.history(action.history).later_than(_late(by_key, standings))
    known = _events_of(tx, later)
    plan = _FoldPlan(registry, action, documents, known, settings)
    for key, events in by_key.items():
        rows = later.get(key, [])
        own = {row.event: known[row.event].event for row in rows}
        past = Past(standings.get(key), rows, own)
        plan.folded.append(fold(action, key, past, events))
    for folded in plan.folded:
        faults |= folded.faults
    return Plan(plan.results(records), faults, plan.write, plan.changes(), plan.highest_fence())


def fence_of(document: Document | None) -> int:
    """The fence under which the document was written last; 0 where there was none."""
    return 0 if document is None else document["_sync"].get("fence", 0)


def _standing(document: Document) -> Standing:
    state = {name: value for name, value in document.items() if name not in ("_id", "_sync")}
    return Standing(state, document["_sync"]["order"])


def _late(by_key: Mapping[str, list[Event]], standings: Mapping[str, Standing]) -> dict[str, str]:
    """Documents that have seen a later event than one of the batch: from which order on."""
    return {
        key: events[0].order
        for key, events in by_key.items()
        if key in standings and events[0].order < standings[key].order
    }


def _events_of(tx: Records, later: Mapping[str, list[Row]]) -> dict[str, EventRecord]:
    keys = [row.event for rows in later.values() for row in rows]
    return tx.events.load(keys) if keys else {}


class _FoldPlan:
    """The folded documents of a batch, and how they are written."""

    def __init__(
        self,
        registry: Registry,
        action: Fold,
        documents: Mapping[str, Document],
        known: Mapping[str, EventRecord],
        settings: Settings,
    ) -> None:
        self.folded: list[Folded] = []
        self._registry = registry
        self._action = action
        self._documents = documents
        self._known = known
        self._settings = settings

    def results(self, records: Mapping[str, EventRecord]) -> dict[str, Result]:
        return {
            event: Result(
                LedgerState.DONE,
                folded.key,
                wrote,
                late_ms=self._lateness(folded.key, records[event].event),
            )
            for folded in self.folded
            for event, wrote in folded.wrote.items()
        }

    def highest_fence(self) -> int:
        return max(map(fence_of, self._documents.values()), default=0)

    def changes(self) -> dict[str, Transition]:
        return {row.event: row.transition for folded in self.folded for row in folded.new}

    def write(self, tx: Records, run: Run, contested: Contested) -> None:
        changed = [folded for folded in self.folded if folded.wrote]
        tx.table(self._action.table).replace(
            [_document(folded, run, self._documents.get(folded.key)) for folded in changed]
        )
        tx.history(self._action.history).write(
            new=[row for folded in changed for row in folded.new],
            rewritten=[row for folded in changed for row in folded.rewritten],
            closed={row: end for folded in changed for row, end in folded.closed.items()},
            stamp=run.stamp,
        )
        affected = [row for folded in changed for row in folded.affected]
        if affected:
            healer = Healer(tx, self._registry, self._action, run, contested, self._settings)
            healer.heal(affected, self._known)

    def _lateness(self, key: str, event: Event) -> int | None:
        """Milliseconds of event time behind what the document had seen; None if in order."""
        document = self._documents.get(key)
        if document is None or event.order > document["_sync"]["order"]:
            return None
        behind: timedelta = document["_sync"]["event_at"] - event.occurred_at
        return behind // MILLISECOND


def _document(folded: Folded, run: Run, stood: Document | None) -> Document:
    sync: Document = {"order": folded.order, "event_at": folded.event_at, **run.stamp}
    fence = max(fence_of(stood), run.fence or 0)
    if fence:
        sync["fence"] = fence
    return {"_id": folded.key, **(folded.state or {}), "_sync": sync}
