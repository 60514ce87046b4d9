"""The transaction that takes an event back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from pipeline.declarations import Action, Commutative, Effect, Fold, Handler
from pipeline.errors import HandlerFault, UnknownHandler
from pipeline.event import Event
from pipeline.executor.correcting import Corrections, Move
from pipeline.executor.deriving import NOTHING, Contribution
from pipeline.executor.failing import failure
from pipeline.executor.healing import Healer, Site
from pipeline.executor.later import LaterRows
from pipeline.executor.plan import Contested, Result, Run
from pipeline.executor.refolding import standing_of
from pipeline.executor.rewriting import rewrite
from pipeline.folding import Folded, Past, fold
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import EventRecord, LedgerRow, LedgerState, Records, Voided
from pipeline.store.batches import batch_id
from pipeline.store.ledger import OUT, TROUBLE, row_id
from pipeline.tables import Document
from pipeline.undo.report import DocumentChange, Fallen, RowChange, Undone

JOB: Final = "undo"
"""What the ledger names as the job of rows that an undo has written."""

_Before = dict[tuple[str, str], Document | None]
"""By table and id, documents as they were."""


class TakingBack:
    """One try of the transaction.

    Args:
        tx: the transaction.
        registry: the handlers.
        settings: limits.
        contested: derived documents that an earlier try has met; they are seized first.
        now: the time.
    """

    def __init__(
        self,
        tx: Records,
        registry: Registry,
        settings: Settings,
        contested: Contested,
        now: datetime,
    ) -> None:
        run = Run(JOB, {}, now, now)
        self._tx = tx
        self._registry = registry
        self._run = run
        self._settings = settings
        self._site = Site(tx, registry, run, contested, settings)
        self._before: _Before = {}

    def take_back(self, record: EventRecord, by: str, reason: str) -> Undone:
        """Void the event in all its handlers, and recompute what it touched.

        Raises:
            UnknownHandler: it had an effect in a handler that no loaded module declares.
            RefoldTooLarge: it changed more rows than one transaction should.
            UpdateError: a derived document can't be without it.
        """
        event, undone = record.event, Undone(record)
        for table, keys in self._site.contested.items():
            self._tx.table(table).seize(keys, self._run.write_at)
        rows = {row.handler: row for row in self._tx.ledger.of_event(event.key)}
        handlers = _chain(self._registry, event.type)
        _ensure_loaded(rows.values(), handlers)
        for action in self._registry.actions_for(event.type):
            row = rows.get(action.name)
            if row is not None and row.has_effect:
                self._without(action, record, row, undone)
        self._void(handlers, rows, record, by, reason)
        undone.out = [
            row
            for name, row in rows.items()
            if row.state in OUT and isinstance(handlers.get(name), Effect)
        ]
        undone.documents = self._documents()
        fallen = [row_id(one.event, one.handler) for one in undone.fallen]
        self._tx.events.void(event.key, Voided(self._run.write_at, by, reason, fallen))
        return undone

    def _without(self, action: Action, record: EventRecord, row: LedgerRow, undone: Undone) -> None:
        match action:
            case Fold():
                self._unfold(action, record, row, undone)
            case Commutative():
                self._subtract(action, record, row, undone)
            case _:
                raise UnknownHandler(f"{action.name} is of no kind that can be undone")

    def _unfold(self, action: Fold, record: EventRecord, row: LedgerRow, undone: Undone) -> None:
        """Take the event's row out, and fold the rows after it again."""
        tx, event, key = self._tx, record.event, row.key or ""
        table = tx.table(action.table)
        # Who folds into it at the same time has to wait for us, not we for them.
        table.seize([key], self._run.write_at)
        documents = table.get([key])
        if key not in documents:
            raise _gone(f"{action.table}[{key}]", event)
        later = LaterRows(tx, action, {key: event.order})
        past = Past(standing_of(documents[key]), later.of(key))
        folded = fold(action, key, past, (), {event.key})
        if not folded.removed:
            raise _gone(f"the row of {event.key} in {action.history}", event)
        self._before.setdefault((action.table, key), documents[key])
        healer = rewrite(self._site, action, [folded], documents, later.records, [event.key])
        undone.rows.append(
            RowChange(action.history, key, len(folded.removed), len(folded.rewritten))
        )
        undone.fallen += self._fall(action, folded, later.records)
        if healer is not None:
            self._note(healer, action, undone)

    def _fall(self, action: Fold, folded: Folded, known: Mapping[str, EventRecord]) -> list[Fallen]:
        """Let the events that fail now be tried again, as any that fails."""
        failures = [
            failure(action, known[event], error, self._run, "heal", self._settings)
            for event, error in folded.fallen.items()
        ]
        rows = [failed.row for failed in failures]
        self._tx.ledger.put(rows)
        again = [(failed.batch, failed.due_at) for failed in failures if failed.pending]
        self._tx.batches.add(again, created_at=self._run.write_at)
        return [
            Fallen(row.event, row.handler, row.state.value, (row.error or {}).get("message", ""))
            for row in rows
        ]

    def _note(self, healer: Healer, action: Fold, undone: Undone) -> None:
        effects = {effect.name for effect in self._registry.effects_of(action)}
        event = undone.record.event.key
        for row in healer.rows:
            if row.handler not in effects:
                undone.contributions.append((healer.had.get(row.id), row))
            elif row.outdated and row.event != event:
                undone.outdated.append(row)
        self._keep(healer.corrections)

    def _subtract(
        self, action: Commutative, record: EventRecord, row: LedgerRow, undone: Undone
    ) -> None:
        """Take the contribution of a commutative action off its document."""
        if row.key is None:
            return
        corrections = Corrections(self._tx, self._registry, self._run, self._site.contested)
        old = Contribution(row.key, row.wrote)
        at = record.event.occurred_at
        corrections.add(action.table, [Move(row.event, at, old, NOTHING)])
        # What is computed again is computed from the rows as they are now.
        voided = row.withdrawn(LedgerState.VOIDED)
        self._tx.ledger.put([voided])
        corrections.write()
        undone.contributions.append((row, voided))
        self._keep(corrections)

    def _void(
        self,
        handlers: Mapping[str, Handler],
        rows: Mapping[str, LedgerRow],
        record: EventRecord,
        by: str,
        reason: str,
    ) -> None:
        """Leave a row in every handler, also where there was none: a run of it meets them."""
        absent = [
            self._run.row(handler, record, Result(LedgerState.VOIDED))
            for name, handler in handlers.items()
            if name not in rows
        ]
        voided = [
            row
            for row in rows.values()
            if not row.discarded
            and not (row.state in OUT and isinstance(handlers.get(row.handler), Effect))
        ]
        self._tx.ledger.put(row.void(reason, by, self._run.write_at) for row in (*absent, *voided))
        waiting = [row for row in voided if row.state in TROUBLE]
        self._tx.batches.close([batch_id(row.handler, [row.event]) for row in waiting])

    def _keep(self, corrections: Corrections) -> None:
        for table, key, document in corrections.documents():
            self._before.setdefault((table, key), document)

    def _documents(self) -> list[DocumentChange]:
        """Every document that was written and is another one now."""
        keys: dict[str, list[str]] = {}
        for table, key in self._before:
            keys.setdefault(table, []).append(key)
        after = {table: self._tx.table(table).get(some) for table, some in keys.items()}
        changes = (
            DocumentChange(table, key, before, after[table].get(key))
            for (table, key), before in self._before.items()
        )
        return [change for change in changes if change.differs]


def _chain(registry: Registry, kind: str) -> dict[str, Handler]:
    """By name, every handler that an event of this type goes through."""
    found: list[Handler] = []
    for action in registry.actions_for(kind):
        found += action, *registry.observers_below(action), *registry.effects_of(action)
    return {handler.name: handler for handler in found}


def _gone(what: str, event: Event) -> HandlerFault:
    whom = f"{event.tenant}:{event.entity_id}"
    return HandlerFault(
        f"{what} is gone, which the pipeline never removes by itself; "
        f"pipeline verify --id {whom!r} --mode update puts it right"
    )


def _ensure_loaded(rows: Iterable[LedgerRow], handlers: Mapping[str, Handler]) -> None:
    for row in rows:
        if row.handler not in handlers and row.state is LedgerState.DONE:
            raise UnknownHandler(
                f"{row.event} has had an effect in {row.handler}, which no loaded module declares "
                f"for it; name the module with PIPELINE_HANDLERS, or pipeline --handlers"
            )
