"""Correcting what was derived from rows that another event has changed or removed.

For each such row and each observer below its action, what the observer contributed stands in
the ledger. The new contribution minus the old one is applied to the documents, and the ledger
row gets the new one. Fields that can't be subtracted (a maximum, say) are computed again from
all contributions.

An observer that has not run yet for such an event is run here and now. Were it left to its
own job, that job could have read the row before it changed and commit after us, and neither
transaction would notice; writing the same ledger row makes one of the two undo itself.
That holds while its turn can come: it can't where the observer before it has never had an
effect and has none now, and then it is left alone.

Below a handler that has no effect nothing has one. Where it had one before, what is below
waits: its contribution is taken off, and its ledger row says `waiting`, which a run at the
same time meets. When the handler has an effect again, those below are run again.

A row that a person discarded stays discarded. One that is in trouble and fails again keeps
its state and its attempts, since its own batch waits for a moment or for a person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from pipeline.declarations import Effect, Fold, Observer
from pipeline.executor.correcting import Corrections, Move
from pipeline.executor.deriving import NOTHING, Contribution, change_of, contribution
from pipeline.executor.failing import failure
from pipeline.executor.outcome import Failure
from pipeline.executor.plan import MILLISECOND, Contested, Result, Run
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, LedgerRow, LedgerState, Records
from pipeline.store.ledger import OUT, TROUBLE, row_id
from pipeline.temporal import Row

CHUNK: Final = 1000
"""Rows whose ledger rows are read together."""


class Case(NamedTuple):
    """An event whose row has changed.

    Attributes:
        record: the event.
        row: its row as it is now; None where it has none any more.
        stood: its row as it was; None where that is not known, and then effects are not looked at.
        cause: key of the event that came or went.
        gone: where it has no row, what becomes of the handlers below: they wait for it to
            come back, or are voided.
    """

    record: EventRecord
    row: Row | None
    stood: Row | None
    cause: str
    gone: LedgerState = LedgerState.WAITING

    @property
    def event(self) -> str:
        """The event's key."""
        return self.record.event.key


class Site(NamedTuple):
    """Where something is put right, and in which run.

    Attributes:
        tx: the transaction.
        registry: the handlers.
        run: what all rows written in it share.
        contested: where derived documents are noted that others may be writing as well.
        settings: limits.
    """

    tx: Records
    registry: Registry
    run: Run
    contested: Contested
    settings: Settings


class _Finding(NamedTuple):
    """What an observer makes of a case, before it is tried on the documents.

    Attributes:
        case: the case.
        stood: its ledger row so far.
        move: its contribution, before and after.
        without: the state of a row that has no effect, since what it follows has none.
        error: what the observer raised.
    """

    case: Case
    stood: LedgerRow | None
    move: Move
    without: LedgerState | None = None
    error: Exception | None = None


class Healer:
    """Corrects all that follows from the changed rows of one action, in its transaction.

    Args:
        site: where and in which run.
        action: the fold whose rows have changed.
        only: handlers and events that are corrected; all others are left as they stand, effects
            among them. None corrects all.

    Attributes:
        corrections: what changes in derived documents.
        rows: the ledger rows that change.
        had: by id, the ledger rows as they were.
    """

    def __init__(
        self, site: Site, action: Fold, only: Collection[tuple[str, str]] | None = None
    ) -> None:
        self._tx = site.tx
        self._run = site.run
        self._settings = site.settings
        self._observers = site.registry.observers_below(action)
        self._effects = site.registry.effects_of(action) if only is None else ()
        self._only = only
        self._failures: list[Failure] = []
        self._halted: set[tuple[str, str]] = set()
        self._relieved: list[Batch] = []
        self.corrections = Corrections(site.tx, site.registry, site.run, site.contested)
        self.rows: list[LedgerRow] = []
        self.had: dict[str, LedgerRow] = {}

    def heal(self, cases: Sequence[Case]) -> None:
        """Correct everything derived from these rows.

        Raises:
            UpdateError: a document can't be without what is to be taken off it.
        """
        for start in range(0, len(cases), CHUNK):
            self._reconsider_all(cases[start : start + CHUNK])
        self._tx.ledger.put(self.rows)
        # The sweeper enqueues them when they are due.
        again = [(failed.batch, failed.due_at) for failed in self._failures if failed.pending]
        self._tx.batches.add(again, created_at=self._run.write_at)
        # Nobody would run the batches of dead letters that are none any more: once run, they
        # find that all is done, and are neither pending nor shown by RQ.
        now = self._run.write_at
        self._tx.batches.requeue(self._relieved, created_at=now, due_at=now)
        self.corrections.write()

    def _reconsider_all(self, cases: Sequence[Case]) -> None:
        followers = (*self._observers, *self._effects)
        ids = [row_id(case.event, one.name) for one in followers for case in cases]
        self.had |= self._tx.ledger.rows(ids) if ids else {}
        for observer in self._observers:
            findings = list(self._findings(observer, cases))
            refused = self.corrections.add(observer.table, [found.move for found in findings])
            for found in findings:
                self._record(observer, found, found.error or refused.get(found.case.event))
        for effect in self._effects:
            for case in cases:
                self._review(effect, case)

    def _findings(self, observer: Observer, cases: Sequence[Case]) -> Iterator[_Finding]:
        """What has to change of this observer, parents having been looked at before."""
        for case in cases:
            stood = self.had.get(row_id(case.event, observer.name))
            if self._only is not None and (observer.name, case.event) not in self._only:
                if stood is None or not stood.has_effect:
                    self._halted.add((observer.name, case.event))
            elif stood is not None and stood.discarded:
                self._halted.add((observer.name, case.event))
            elif not self._has_effect(observer.after, case):
                self._halted.add((observer.name, case.event))
                if self._is_taken_back(observer, case, stood):
                    yield _Finding(case, stood, _move(case, stood, NOTHING), case.gone)
            else:
                found = self._finding(observer, case, stood)
                if found is not None:
                    yield found

    def _finding(self, observer: Observer, case: Case, stood: LedgerRow | None) -> _Finding | None:
        """The new contribution of one event, unless it is the old one."""
        transition = None if case.row is None else case.row.transition
        try:
            change = change_of(observer.root, case.event, transition)
            new = contribution(observer, change, case.record.event)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
            return _Finding(case, stood, _move(case, stood, NOTHING), error=error)
        move = _move(case, stood, new)
        if stood is not None and stood.has_effect and new[:2] == move.old[:2]:
            return None
        return _Finding(case, stood, move)

    def _has_effect(self, handler: Fold | Observer, case: Case) -> bool:
        """Whether the handler has an effect for the event now."""
        if isinstance(handler, Fold):
            return case.row is not None
        return (handler.name, case.event) not in self._halted

    def _is_taken_back(
        self, follower: Observer | Effect, case: Case, stood: LedgerRow | None
    ) -> bool:
        """Whether there is, or may come, an effect that must not be."""
        if stood is not None and stood.state is LedgerState.WAITING:
            return True  # its run may have begun when what it follows had an effect
        if stood is not None or case.gone is LedgerState.VOIDED:
            return stood is None or stood.state is not case.gone
        # Its batch exists only if what it follows had an effect once.
        above = self.had.get(row_id(case.event, follower.after.name))
        return isinstance(follower.after, Fold) or (above is not None and above.has_effect)

    def _record(self, observer: Observer, found: _Finding, error: Exception | None) -> None:
        case, stood = found.case, found.stood
        if error is not None:
            self._refuse(observer, case.record, stood, error)
        elif found.without is not None:
            self.rows.append(self._without_effect(observer, case, stood))
        elif stood is not None:
            self.rows.append(stood.with_contribution(*found.move.new[:2], observer.version))
        else:
            key, wrote = found.move.new[:2]
            state = LedgerState.DONE if key else LedgerState.SKIPPED
            self.rows.append(self._run.row(observer, case.record, Result(state, key, wrote)))
        self._relieve(observer, stood)

    def _without_effect(
        self, follower: Observer | Effect, case: Case, stood: LedgerRow | None
    ) -> LedgerRow:
        if stood is None:
            return self._run.row(follower, case.record, Result(case.gone))
        # MongoDB does not write what is there already, and so would not see that two conflict.
        written_at = max(self._run.write_at, stood.write_at + MILLISECOND)
        return stood.withdrawn(case.gone)._replace(write_at=written_at)

    def _relieve(self, follower: Observer | Effect, stood: LedgerRow | None) -> None:
        """Let the batch of a dead letter that is none any more be run."""
        dead, row = LedgerState.DEAD, self.rows[-1]
        if stood is not None and stood.state is dead and row.state is not dead:
            self._relieved.append(Batch.of(follower.name, [row.event], follower.lane))

    def _refuse(
        self, observer: Observer, record: EventRecord, stood: LedgerRow | None, error: Exception
    ) -> None:
        failed = failure(observer, record, error, self._run, "heal", self._settings)
        self._halted.add((observer.name, record.event.key))
        if stood is not None and stood.state in TROUBLE and failed.pending:
            self.rows.append(failed.row._replace(state=stood.state, attempt=stood.attempt))
            return
        self.rows.append(failed.row)
        self._failures.append(failed)

    def _review(self, effect: Effect, case: Case) -> None:
        """Note whether an effect that was done would be different; void it where it was not."""
        stood = self.had.get(row_id(case.event, effect.name))
        if case.stood is None:
            return
        if stood is not None and stood.state in OUT:
            now = None if case.row is None else case.row.transition.digest
            row = stood.compared(now, case.stood.transition.digest, case.cause, self._run.write_at)
            if row is not stood:
                self.rows.append(row)
        elif case.row is not None:
            if stood is None:
                # It may be about to be done for the change as it was; the one undoes the other.
                self.rows.append(self._without_effect(effect, case, None))
        elif (stood is None or not stood.discarded) and self._is_taken_back(effect, case, stood):
            self.rows.append(self._without_effect(effect, case, stood))
            self._relieve(effect, stood)


def _move(case: Case, stood: LedgerRow | None, new: Contribution) -> Move:
    old = NOTHING
    if stood is not None and stood.has_effect:
        old = Contribution(stood.key, stood.wrote)
    return Move(case.event, case.record.event.occurred_at, old, new)
