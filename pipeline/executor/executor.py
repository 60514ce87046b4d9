"""The executor: load, plan, write, record, claim, commit; the caller enqueues what follows.

One transaction holds the effects of a batch, their ledger rows, the mark that the batch is
done and the batches that follow, so all of it is there or nothing. An event whose handler
raises is split off to a batch of its own within the same transaction, and its neighbours go
on without it. Small batches of one handler may be run together, as if they were one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import structlog

from pipeline.clock import Clock
from pipeline.declarations import Commutative, Fold, Handler, Observer
from pipeline.errors import Unavailable, UnknownHandler
from pipeline.executor.deriving import Transitions, plan_action, plan_observer
from pipeline.executor.failing import failure, parts
from pipeline.executor.outcome import Outcome
from pipeline.executor.plan import MILLISECONDS, Contested, Plan, Run
from pipeline.executor.recent import Recent, Seen
from pipeline.executor.refolding import plan_fold
from pipeline.executor.steps import Passing, Step, go_on
from pipeline.registry import SIBLINGS, Registry
from pipeline.settings import Settings
from pipeline.store import (
    Batch,
    EventRecord,
    LedgerRow,
    Outdated,
    Records,
    RunRecord,
    Store,
    Taken,
)
from pipeline.store.ledger import FINAL, row_id

log = structlog.get_logger(__name__)

Watch = Callable[[str, str], None]
"""Told the batch and the event that a handler is about to see."""


class _Planned(NamedTuple):
    """What each handler makes of the events, and the changes that are known for it."""

    plans: dict[Handler, Plan]
    transitions: Transitions


@dataclass(slots=True)
class _Course:
    """What the tries of one transaction hand on to each other.

    Attributes:
        handlers: one, or sibling observers.
        batches: what they are run on.
        seen: their events, and what is remembered of the changes.
        started_at: when we began to read.
        doubtful: whether something may be done already, so that the next try has to look.
        ahead: what was planned before the transaction began, if anything.
        contested: derived documents to seize first, since an earlier try lost them.
        followed: by id, what the batches that follow will read.
    """

    handlers: Sequence[Handler]
    batches: Sequence[Batch]
    seen: Seen
    started_at: datetime
    doubtful: bool
    ahead: _Planned | None = None
    contested: Contested = field(default_factory=dict)
    followed: dict[str, Seen] = field(default_factory=dict)


class Executor:
    """Runs batches.

    Args:
        store: where everything is kept.
        registry: the handlers.
        clock: wall and monotonic time.
        settings: limits.
        worker: who we are in the ledger.
        passing: called at each step; tests end the process in it.
        watch: told each event before its handler, in batches that a worker died of.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        settings: Settings,
        *,
        worker: str,
        passing: Passing = go_on,
        watch: Watch | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._worker = worker
        self._pass = passing
        self._watch = watch
        self._recent = Recent()

    def run(self, batches: Sequence[Batch]) -> Outcome:
        """Run batches of the same handlers in one transaction.

        What becomes of the events is in the outcome, failures too. The caller enqueues what
        follows; what it does not, the sweeper finds.

        Raises:
            UnknownHandler: no loaded module declares one of the handlers.
            Unavailable: MongoDB did not answer in time; nothing has changed.
        """
        handlers = self._registry.handlers(batches[0].handler)
        self._pass(Step.TAKEN)
        started = self._clock.monotonic()
        try:
            outcome = self._run(handlers, batches)
        except Unavailable:
            raise
        except Exception as refusal:  # noqa: BLE001 - one event is at fault; cutting finds it
            if len(batches) > 1:
                return Outcome.sum([self.run([batch]) for batch in batches])
            outcome = self._isolate(handlers, batches[0], refusal)
        self._log(batches, outcome, self._clock.monotonic() - started)
        return outcome

    def _run(self, handlers: Sequence[Handler], batches: Sequence[Batch]) -> Outcome:
        started_at = self._clock.now()
        course = _Course(
            handlers=self._watched(handlers, batches),
            batches=batches,
            seen=self._load(batches),
            started_at=started_at,
            doubtful=any(batch.attempt for batch in batches),
        )
        if all(isinstance(handler, Observer) for handler in handlers):
            # Observers may be planned outside of the transaction: if what they read changes
            # before it commits, the change has written their ledger rows, and inserting ours
            # fails. So the transaction that holds the hot documents is short.
            course.ahead = self._plan(self._store.records, course.handlers, course.seen)
        self._pass(Step.LOADED)
        outcome = self._store.transact(lambda tx: self._attempt(tx, course))
        self._pass(Step.COMMITTED)
        for batch, seen in course.followed.items():
            self._recent.note(batch, seen)
        return outcome

    def _watched(self, handlers: Sequence[Handler], batches: Sequence[Batch]) -> Sequence[Handler]:
        """The handlers; where a worker died of the batch, each tells what it is about to see."""
        if self._watch is None or not any(batch.deaths for batch in batches):
            return handlers
        note = partial(self._watch, batches[0].id)

        def watched(function: Callable[..., Any]) -> Callable[..., Any]:
            def tell_and_call(*args: Any) -> Any:
                note(args[-1].key)
                return function(*args)

            return tell_and_call

        return [replace(handler, function=watched(handler.function)) for handler in handlers]

    def _load(self, batches: Sequence[Batch]) -> Seen:
        """The events, which never change, and the changes that are remembered."""
        records: dict[str, EventRecord] = {}
        transitions: dict[str, Any] = {}
        for batch in batches:
            seen = self._recent.take(batch.id)
            if seen is not None:
                records |= seen.records
                for root, changes in seen.transitions.items():
                    transitions.setdefault(root, {}).update(changes)
        missing = [e for batch in batches for e in batch.events if e not in records]
        if missing:
            records |= self._store.records.events.load(missing)
        return Seen(records, transitions)

    def _attempt(self, tx: Records, course: _Course) -> Outcome:
        """One try of the transaction.

        The first one expects that nothing is done and skips the look: writing is the check.
        If something is, that undoes the transaction, and the next try looks.
        """
        self._pass(Step.BEGUN)
        looking, batches = course.doubtful, course.batches
        if looking:
            batches = list(tx.batches.pending([batch.id for batch in batches]).values())
            if not batches:
                return Outcome(claimed=False)
        for table, keys in course.contested.items():
            tx.table(table).seize(keys, self._clock.now())
        settled: set[tuple[str, str]] = set()
        if course.ahead is None or looking:
            read_at = self._clock.now()
            records = {e: course.seen.records[e] for batch in batches for e in batch.events}
            if looking:
                settled = _final(tx, [row_id(e, h.name) for h in course.handlers for e in records])
            planned = self._plan(tx, course.handlers, Seen(records, {}), settled)
        else:
            read_at, planned = course.started_at, course.ahead
        self._pass(Step.PLANNED)
        if not looking and any(plan.faults for plan in planned.plans.values()):
            # Only a look tells whether these were done before, and how often they failed.
            course.doubtful = True
            raise Outdated("an event failed in a try that did not look")
        failed = {event: batch.attempt for batch in batches for event in batch.events}
        run = Run(course.batches[0].id, failed, read_at, self._clock.now())
        try:
            for plan in planned.plans.values():
                plan.write(tx, run, course.contested)
            self._pass(Step.WRITTEN)
            outcome = self._record(tx, course, planned, run, looking=looking)
            outcome.repeated = len(settled)
            self._settle(tx, batches, run, outcome)
        except (Taken, Outdated):
            course.doubtful = True
            raise
        return outcome

    def _plan(
        self,
        tx: Records,
        handlers: Sequence[Handler],
        seen: Seen,
        settled: AbstractSet[tuple[str, str]] = frozenset(),
    ) -> _Planned:
        """Read what the handlers need, and run them on all events that are not settled."""
        transitions = Transitions(tx, seen.records, seen.transitions)
        plans: dict[Handler, Plan] = {}
        for handler in handlers:
            todo = {e: r for e, r in seen.records.items() if (handler.name, e) not in settled}
            match handler:
                case Observer():
                    plans[handler] = plan_observer(transitions, handler, todo)
                case Fold():
                    plans[handler] = plan_fold(tx, self._registry, handler, todo, self._settings)
                    transitions.known[handler.name] = plans[handler].changes
                case Commutative():
                    plans[handler] = plan_action(handler, todo)
                case _:
                    raise UnknownHandler(f"{handler.name} is of no kind that can be run")
        return _Planned(plans, transitions)

    def _record(
        self, tx: Records, course: _Course, planned: _Planned, run: Run, *, looking: bool
    ) -> Outcome:
        """Write the ledger rows, give failed events batches of their own, chain the rest."""
        outcome = Outcome()
        rows: list[LedgerRow] = []
        course.followed.clear()
        records = course.seen.records
        for handler, plan in planned.plans.items():
            rows += [run.row(handler, records[e], result) for e, result in plan.results.items()]
            outcome.failures += [
                failure(handler, records[event], error, run, "handle", self._settings)
                for event, error in plan.faults.items()
            ]
            self._chain(course, handler, list(plan.results), planned.transitions, outcome)
        outcome.done = len(rows)
        outcome.late = sum(row.late_ms is not None for row in rows)
        if looking:
            tx.ledger.put([*rows, *(failed.row for failed in outcome.failures)])
        else:
            tx.ledger.insert(rows)
        self._pass(Step.RECORDED)
        return outcome

    def _chain(
        self,
        course: _Course,
        handler: Handler,
        events: Sequence[str],
        transitions: Transitions,
        outcome: Outcome,
    ) -> None:
        """Note what is to be done next: the observers of this handler, on the same events."""
        observers = self._registry.observers_of(handler)
        if not events or not observers:
            return
        names = SIBLINGS.join(observer.name for observer in observers)
        batch = Batch.of(names, events, observers[0].lane)
        outcome.following.append(batch)
        root = observers[0].root.name
        known = transitions.known.get(root, {})
        if all(event in known for event in events):
            records = self._store.records.events.unread({e: course.seen.records[e] for e in events})
            course.followed[batch.id] = Seen(records, {root: {e: known[e] for e in events}})

    def _settle(self, tx: Records, batches: Sequence[Batch], run: Run, outcome: Outcome) -> None:
        """Mark the batches done, and what comes of them pending.

        Raises:
            Outdated: some of them were done already.
        """
        soon = run.write_at + timedelta(seconds=self._settings.rescue_after)
        pending: list[tuple[Batch, datetime | None]] = [(b, soon) for b in outcome.following]
        pending += [(f.batch, f.due_at) for f in outcome.failures if f.pending]
        tx.batches.settle(
            [batch.id for batch in batches],
            RunRecord(self._worker, run.read_at),
            pending,
            created_at=run.write_at,
        )
        self._pass(Step.CLAIMED)

    def _isolate(self, handlers: Sequence[Handler], batch: Batch, error: Exception) -> Outcome:
        """Find what is at fault: cut the batch, or record the failure of a single event.

        Such an error came from writing (a document that MongoDB refuses), so it does not
        say which event or handler it belongs to.
        """
        log.warning("batch_refused", handler=batch.handler, job=batch.id, error=repr(error)[:500])

        def cut(tx: Records) -> Outcome:
            pending = tx.batches.pending([batch.id]).get(batch.id)
            if pending is None:
                return Outcome(claimed=False)
            now = self._clock.now()
            run = Run(batch.id, dict.fromkeys(batch.events, pending.attempt), now, now)
            outcome = Outcome()
            if len(handlers) == len(batch.events) == 1:
                (handler,), (event,) = handlers, batch.events
                record = tx.events.load([event])[event]
                failed = failure(handler, record, error, run, "write", self._settings)
                outcome.failures.append(failed)
                tx.ledger.put([failed.row])
            else:
                outcome.following += parts(handlers, pending)
            self._settle(tx, [batch], run, outcome)
            return outcome

        return self._store.transact(cut)

    def _log(self, batches: Sequence[Batch], outcome: Outcome, seconds: float) -> None:
        log.info(
            "batch_done" if outcome.claimed else "batch_was_done",
            handler=batches[0].handler,
            job=batches[0].id,
            worker=self._worker,
            batches=len(batches),
            events=sum(len(batch.events) for batch in batches),
            done=outcome.done,
            repeated=outcome.repeated,
            failed=len(outcome.failures),
            late=outcome.late,
            following=len(outcome.following),
            ms=round(seconds * MILLISECONDS, 1),
        )
        for failed in outcome.failures:
            row = failed.row
            log.warning(
                "event_failed",
                handler=row.handler,
                event_key=row.event,
                state=row.state,
                attempt=row.attempt,
                error=(row.error or {}).get("message", "")[:500],
            )


def _final(tx: Records, ids: Sequence[str]) -> set[tuple[str, str]]:
    """Pairs of handler and event, of these rows, that are done for good."""
    rows: Mapping[str, LedgerRow] = tx.ledger.rows(ids)
    return {(row.handler, row.event) for row in rows.values() if row.state in FINAL}
