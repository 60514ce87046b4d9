"""Correcting what was derived from rows that a late event has changed.

For each changed row and each observer below its action, what the observer contributed
stands in the ledger. The new contribution minus the old one is applied to the documents,
and the ledger row gets the new one. Fields that can't be subtracted (a maximum, say) are
computed again from all contributions.

An observer that has not run yet for such an event is run here and now. Were it left to its
own job, that job could have read the row before it changed and commit after us, and neither
transaction would notice; writing the same ledger row makes one of the two undo itself.
That holds while its turn can come: it can't where the observer before it has never had an
effect and has none now, and then it is left alone.

A row that a person discarded stays discarded. One that is in trouble and fails again keeps
its state and its attempts, since its own batch waits for a moment or for a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.declarations import Fold, Observer
from pipeline.executor.deriving import NOTHING, Contribution, contribution
from pipeline.executor.failing import failure
from pipeline.executor.outcome import Failure
from pipeline.executor.plan import Contested, Result, Run
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, LedgerRow, LedgerState, Records
from pipeline.store.ledger import FINAL, WITH_EFFECT, row_id
from pipeline.tables import Document
from pipeline.temporal import Row
from pipeline.updates import Update, set_on_insert


@dataclass(slots=True)
class _Correction:
    """What has to change in one derived document."""

    latest: datetime
    delta: Update = field(default_factory=Update.nothing)
    withdrawn: list[Update] = field(default_factory=list)
    contributions: int = 0

    def recompute(self, document: Document) -> frozenset[str]:
        """Paths that have to be found again: those where something withdrawn still counts."""
        if document["_sync"]["contributions"] + self.contributions <= 0:
            return frozenset()
        return frozenset().union(*(update.bears_on(document) for update in self.withdrawn))


class Healer:
    """Corrects all that follows from the changed rows of one action, in its transaction."""

    def __init__(
        self,
        tx: Records,
        registry: Registry,
        action: Fold,
        run: Run,
        contested: Contested,
        settings: Settings,
    ) -> None:
        self._settings = settings
        self._contested = contested
        self._tx = tx
        self._registry = registry
        self._observers = registry.observers_below(action)
        self._run = run
        self._rows: list[LedgerRow] = []
        self._failures: list[Failure] = []
        self._halted: set[tuple[str, str]] = set()
        self._relieved: list[Batch] = []
        self._corrections: dict[str, dict[str, _Correction]] = defaultdict(dict)

    def heal(self, affected: Sequence[Row], known: Mapping[str, EventRecord]) -> None:
        """Correct everything derived from the affected rows.

        Args:
            affected: rows as they are now, whose state before or after is another one.
            known: their events, by key.
        """
        ids = [row_id(row.event, observer.name) for observer in self._observers for row in affected]
        had = self._tx.ledger.rows(ids) if ids else {}
        for observer in self._observers:
            for row in affected:
                self._reconsider(observer, row, known[row.event], had)
        self._tx.ledger.put(self._rows)
        for failed in self._failures:
            if failed.pending:
                # The sweeper enqueues it when it is due.
                created_at = self._run.write_at
                self._tx.batches.add([failed.batch], created_at=created_at, due_at=failed.due_at)
        # Nobody would run the batches of dead letters that are none any more: once run, they
        # find that all is done, and are neither pending nor shown by RQ.
        now = self._run.write_at
        self._tx.batches.requeue(self._relieved, created_at=now, due_at=now)
        for table, corrections in self._corrections.items():
            self._write(table, corrections)

    def _reconsider(
        self, observer: Observer, row: Row, record: EventRecord, had: Mapping[str, LedgerRow]
    ) -> None:
        """Find the new contribution of one event, and what differs from the old one."""
        stood = had.get(row_id(row.event, observer.name))
        orphan = stood is None and (observer.after.name, row.event) in self._halted
        if orphan or (stood is not None and stood.discarded):
            self._halted.add((observer.name, row.event))
            return
        old = NOTHING
        if stood is not None and stood.state in FINAL:
            old = Contribution(stood.key, stood.wrote)
        try:
            new = contribution(observer, row.transition, record.event)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
            new = NOTHING
            self._refuse(observer, record, stood, error)
        else:
            if stood is not None and new[:2] == old[:2] and stood.state in FINAL:
                return
            self._record(observer, record, stood, new)
        dead = LedgerState.DEAD
        if stood is not None and stood.state is dead and self._rows[-1].state is not dead:
            self._relieved.append(Batch.of(observer.name, [row.event], observer.lane))
        self._correct(observer, record, old, new)

    def _record(
        self, observer: Observer, record: EventRecord, stood: LedgerRow | None, new: Contribution
    ) -> None:
        key, wrote = new.key, new.wrote
        if stood is not None:
            self._rows.append(stood.with_contribution(key, wrote, observer.version))
        else:
            state = LedgerState.DONE if key else LedgerState.SKIPPED
            self._rows.append(self._run.row(observer, record, Result(state, key, wrote)))

    def _refuse(
        self,
        observer: Observer,
        record: EventRecord,
        stood: LedgerRow | None,
        error: Exception,
    ) -> None:
        failed = failure(observer, record, error, self._run, "heal", self._settings)
        if stood is None or stood.state not in WITH_EFFECT:
            self._halted.add((observer.name, record.event.key))
        if stood is not None and stood.state not in FINAL and failed.pending:
            self._rows.append(failed.row._replace(state=stood.state, attempt=stood.attempt))
            return
        self._rows.append(failed.row)
        self._failures.append(failed)

    def _correct(
        self, observer: Observer, record: EventRecord, old: Contribution, new: Contribution
    ) -> None:
        """Take the old contribution off its document and put the new one on its own."""
        at = record.event.occurred_at
        if old.key is not None:
            correction = self._correction(observer, old.key, at)
            kept = new.wrote if new.key == old.key else Update.nothing()
            difference = kept.minus(old.wrote)
            # What a document is created with says what it is, not what happened to it.
            changed = difference.recompute - old.wrote.paths_of("set_on_insert")
            correction.delta |= difference.delta | kept.only(changed)
            correction.withdrawn.append(old.wrote.only(changed))
            correction.contributions -= new.key != old.key
        if new.key is not None and new.key != old.key:
            correction = self._correction(observer, new.key, at)
            correction.delta |= new.wrote | set_on_insert(new.identity())
            correction.contributions += 1

    def _correction(self, observer: Observer, key: str, at: datetime) -> _Correction:
        correction = self._corrections[observer.table].setdefault(key, _Correction(at))
        correction.latest = max(correction.latest, at)
        return correction

    def _write(self, table: str, corrections: Mapping[str, _Correction]) -> None:
        self._contested.setdefault(table, set()).update(corrections)
        documents = self._tx.table(table)
        suspect = [key for key, correction in corrections.items() if any(correction.withdrawn)]
        recompute = {
            key: corrections[key].recompute(document)
            for key, document in documents.get(suspect).items()
        }
        documents.apply(
            {
                key: correction.delta
                | self._run.stamped(correction.latest, correction.contributions)
                for key, correction in corrections.items()
            }
        )
        for key, paths in recompute.items():
            if paths:
                documents.recompute(key, self._recomputed(table, key, paths), paths)
        documents.prune([key for key, c in corrections.items() if c.contributions < 0])

    def _recomputed(self, table: str, key: str, paths: frozenset[str]) -> Update:
        """What all contributions to the document come to, on these paths."""
        total = Update.nothing()
        for handler in self._registry.writers_of(table):
            for wrote in self._tx.ledger.contributions(handler.name, key):
                total |= wrote.only(paths)
        return total
