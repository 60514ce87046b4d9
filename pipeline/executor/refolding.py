"""Folds: read the documents, fold their events in order, write them and their rows.

A late event is folded where it belongs, the rows after it are rewritten, and everything
derived from those rows is corrected, in the same transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any, Final

from pipeline.declarations import Fold
from pipeline.disorder import Disorder
from pipeline.event import Event
from pipeline.executor.arriving import Arrivals, Holds, sort_out
from pipeline.executor.healing import Site
from pipeline.executor.later import LaterRows
from pipeline.executor.plan import Contested, Plan, Result, Run
from pipeline.executor.rewriting import fence_of, rewrite
from pipeline.folding import Folded, Past, Standing, ensure_bounded, fold
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import EventRecord, LedgerState, Records
from pipeline.temporal import Transition

Document = dict[str, Any]


def plan_fold(
    tx: Records,
    registry: Registry,
    action: Fold,
    records: Mapping[str, EventRecord],
    settings: Settings,
    holds: Holds,
) -> Plan:
    """Run a fold on a batch, whose events are given in the order in which they came.

    Raises:
        RefoldTooLarge: all together changes too many rows; the batch has to be cut.
        LaterEventFails: one of several late events of a document makes a later one fail; as above.
    """
    came: dict[str, list[Event]] = defaultdict(list)
    faults: dict[str, Exception] = {}
    for record in records.values():
        try:
            came[action.key(record.event)].append(record.event)
        except Exception as error:  # noqa: BLE001 - a key that can't be made is its event's fault
            faults[record.event.key] = error
    documents = tx.table(action.table).get(came)
    arrivals = sort_out(action, came, documents, holds, partial(_voided, tx, registry, action))
    by_key = {key: sorted(events, key=_order) for key, events in arrivals.by_key.items() if events}
    standings = {key: standing_of(document) for key, document in documents.items()}
    later = LaterRows(tx, action, _late(by_key, standings))
    plan = _FoldPlan(registry, action, documents, later.records, settings, arrivals)
    for key, events in by_key.items():
        past = Past(standings.get(key), later.of(key))
        plan.add(fold(action, key, past, events))
    ensure_bounded(plan.folded)
    for folded in plan.folded:
        faults |= folded.faults
    return Plan(
        plan.results(),
        faults,
        plan.write,
        plan.changes(),
        plan.highest_fence(),
        arrivals.waiting,
        arrivals.ended,
        arrivals.numbering,
    )


_order: Final = attrgetter("order")


def _voided(
    tx: Records, registry: Registry, action: Fold, entities: Collection[tuple[str, str]]
) -> Iterator[tuple[str, Event]]:
    """The events of these entities that were taken back and went to this fold, by document."""
    for event in tx.events.voided_of(entities):
        if action.name in (one.name for one in registry.actions_for(event.type)):
            # An event of which no key can be made was none of any document.
            with suppress(Exception):
                yield action.key(event), event


def standing_of(document: Document) -> Standing:
    """The document as a fold knows it."""
    state = {name: value for name, value in document.items() if name not in ("_id", "_sync")}
    sync = document["_sync"]
    return Standing(state, sync["order"], sync["event_at"])


def _late(by_key: Mapping[str, list[Event]], standings: Mapping[str, Standing]) -> dict[str, str]:
    """Documents that have seen a later event than one of the batch: from which order on."""
    return {
        key: events[0].order
        for key, events in by_key.items()
        if key in standings and events[0].order < standings[key].order
    }


class _FoldPlan:
    """The folded documents of a batch, and how they are written."""

    def __init__(
        self,
        registry: Registry,
        action: Fold,
        documents: Mapping[str, Document],
        known: Mapping[str, EventRecord],
        settings: Settings,
        arrivals: Arrivals,
    ) -> None:
        self.folded: list[Folded] = []
        self._arrivals = arrivals
        self._disorder: dict[str, Disorder] = {}
        self._registry = registry
        self._action = action
        self._documents = documents
        self._known = known
        self._settings = settings

    def add(self, folded: Folded) -> None:
        self.folded.append(folded)
        self._disorder |= self._arrivals.disorder(folded, self._documents.get(folded.key))

    def results(self) -> dict[str, Result]:
        disorder, ended = self._disorder, self._arrivals.ended
        return {
            event: Result(
                LedgerState.DONE, folded.key, wrote, None, disorder.get(event), ended.get(event)
            )
            for folded in self.folded
            for event, wrote in folded.wrote.items()
        }

    def highest_fence(self) -> int:
        return max(map(fence_of, self._documents.values()), default=0)

    def changes(self) -> dict[str, Transition]:
        return {row.event: row.transition for folded in self.folded for row in folded.new}

    def write(self, tx: Records, run: Run, contested: Contested) -> None:
        site = Site(tx, self._registry, run, contested, self._settings)
        changed = [folded for folded in self.folded if folded.changes]
        numbers = {key: seen.stored() for key, seen in self._arrivals.numbering.items()}
        rewrite(site, self._action, changed, self._documents, self._known, numbers=numbers)
