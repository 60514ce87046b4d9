"""The executor: load, plan, write, record, claim, commit; the caller enqueues what follows.

One transaction holds the effects of a batch, their ledger rows, the mark that the batch is
done and the batches that follow, so all of it is there or nothing. An event whose handler
raises is split off to a batch of its own within the same transaction, and its neighbours go
on without it. Small batches of one handler may be run together, as if they were one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog

from pipeline.clock import Clock
from pipeline.declarations import Commutative, Effect, Fold, Handler, Observer
from pipeline.errors import Unavailable, UnknownHandler
from pipeline.event import Event
from pipeline.executor.along import companions, siblings, take_along
from pipeline.executor.arriving import Graces, Holds, no_grace
from pipeline.executor.course import Course, Planned
from pipeline.executor.deriving import Transitions, plan_action, plan_observer
from pipeline.executor.effecting import Effects
from pipeline.executor.failing import failure
from pipeline.executor.isolating import isolate
from pipeline.executor.locking import LeaseLost, Locking
from pipeline.executor.outcome import Outcome
from pipeline.executor.plan import Plan, Run
from pipeline.executor.recent import Recent, Seen
from pipeline.executor.refolding import plan_fold
from pipeline.executor.releasing import hold_back, release
from pipeline.executor.settled import Looked, look
from pipeline.executor.settling import settle
from pipeline.executor.steps import Hooks, Step
from pipeline.executor.telling import tell
from pipeline.executor.turns import Turns
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import (
    Batch,
    LedgerRow,
    Outdated,
    Records,
    RunRecord,
    Store,
    Taken,
)

LEASES: Final = 5
"""How often a run takes its leases anew before it gives way."""

log = structlog.get_logger(__name__)


class Executor:
    """Runs batches.

    Args:
        store: where everything is kept.
        registry: the handlers.
        clock: wall and monotonic time.
        settings: limits.
        worker: who we are in the ledger.
        locking: takes leases on the ids of folds; None takes none.
        hooks: who is told of the steps of a run.
        grace: how long events of a handler and a tenant wait for their predecessors.
        along: most events of a fold that takes its observers along; 0 where none does.
    """

    def __init__(  # noqa: PLR0913 - what a run needs, each from another corner
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        settings: Settings,
        *,
        worker: str,
        locking: Locking | None = None,
        hooks: Hooks | None = None,
        grace: Graces = no_grace,
        along: int = 0,
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._worker = worker
        self._locking = locking
        self._hooks = hooks or Hooks()
        self._pass = self._hooks.passing
        self._grace = grace
        self._along = along
        self._recent = Recent()
        self._effects = Effects(store, clock, settings, worker)

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
            outcome = self._outcome(handlers, batches)
        except Unavailable:
            raise
        except Exception as refusal:  # noqa: BLE001 - one event is at fault; cutting finds it
            if len(batches) > 1:
                return Outcome.sum([self.run([batch]) for batch in batches])
            outcome = self._isolate(handlers, batches[0], refusal)
        tell(self._worker, batches, outcome, self._clock.monotonic() - started)
        return outcome

    def _outcome(self, handlers: Sequence[Handler], batches: Sequence[Batch]) -> Outcome:
        watched = self._watched(handlers, batches)
        if isinstance(watched[0], Effect):
            return self._effects.run(watched[0], batches)
        return self._run(self._course(watched, batches))

    def _course(self, handlers: Sequence[Handler], batches: Sequence[Batch]) -> Course:
        """Read the events, and plan what can be planned before the transaction."""
        course = Course(
            handlers=handlers,
            batches=batches,
            started_at=self._clock.now(),
            seen=self._store.read(lambda records: self._recent.read(records, batches)),
            doubtful=any(batch.attempt for batch in batches),
            companions=companions(self._registry, handlers, batches, self._along),
        )
        if all(isinstance(handler, Observer) for handler in handlers):
            # If what observers read changes before we commit, the change has written their
            # ledger rows, and inserting ours fails. So the transaction that holds the hot
            # documents is short.
            course.ahead = self._store.read(
                lambda records: self._plan(records, course.handlers, course.seen)
            )
        self._pass(Step.LOADED)
        return course

    def _watched(self, handlers: Sequence[Handler], batches: Sequence[Batch]) -> Sequence[Handler]:
        """The handlers; where a worker died of the batch, each tells what it is about to see."""
        if self._hooks.watch is None or not any(batch.deaths for batch in batches):
            return handlers
        note = partial(self._hooks.watch, batches[0].id)

        def watched(function: Callable[..., Any]) -> Callable[..., Any]:
            def tell_and_call(*args: Any) -> Any:
                note(next(arg.key for arg in args if isinstance(arg, Event)))
                return function(*args)

            return tell_and_call

        return [replace(handler, function=watched(handler.function)) for handler in handlers]

    def _run(self, course: Course) -> Outcome:
        """Run the transaction while we hold the ids; take them anew where they were lost."""
        if self._locking is None:
            return self._transact(course)
        floor = 0
        for _ in range(LEASES):
            with self._locking.gripping(
                course.handlers, course.batches, course.seen.records, floor
            ) as course.grip:
                course.locked_at = self._clock.now()
                self._pass(Step.LOCKED)
                try:
                    outcome = self._transact(course)
                except LeaseLost as lost:
                    log.warning("lease_lost", job=course.job, floor=lost.floor)
                    floor = lost.floor
                    continue
                self._leave_lines(self._locking.turns, course, outcome)
            self._pass(Step.RELEASED)
            return outcome
        raise Unavailable(f"the leases of {course.job} were lost {LEASES} times in a row")

    def _leave_lines(self, turns: Turns, course: Course, outcome: Outcome) -> None:
        handler, records = course.handlers[0], course.seen.records
        for batch, rest in course.put_off(course.runnable()):
            turns.hand_on(handler, batch, rest, records)
        still = {batch.id for batch in outcome.following}
        turns.leave(handler, [b for b in course.batches if b.id not in still], records)

    def _transact(self, course: Course) -> Outcome:
        runnable = course.runnable()
        busy = [batch for batch in course.batches if batch not in runnable]
        outcome = Outcome()
        if runnable:
            outcome = self._commit(course, runnable)
            self._pass(Step.COMMITTED)
            for batch, seen in course.followed.items():
                self._recent.note(batch, seen)
        # Those whose ids are all busy go to the end of their lane as they are.
        outcome.following += busy
        return outcome

    def _commit(self, course: Course, batches: Sequence[Batch]) -> Outcome:
        def attempt(tx: Records) -> Outcome:
            return self._attempt(tx, course, batches)

        try:
            return self._store.transact(attempt)
        except (Unavailable, LeaseLost):
            raise
        except Exception:
            if not course.accompanied:
                raise
            # It may be what the observers wrote, and then no event of the fold is at fault.
            return self._store.transact(attempt)

    def _attempt(self, tx: Records, course: Course, batches: Sequence[Batch]) -> Outcome:
        """One try of the transaction.

        The first one expects that nothing is done and skips the look: writing is the check.
        If something is, that undoes the transaction, and the next try looks. Only the first
        one takes observers along.
        """
        self._pass(Step.BEGUN)
        looked: Looked | None = None
        if course.doubtful:
            batches = list(tx.batches.pending([batch.id for batch in batches]).values())
            if not batches:
                return Outcome(claimed=False)
            looked = look(tx, course.handlers, list(course.free(batches)))
        if course.accompanied:  # what conflicted is no longer written here
            course.contested.clear()
        for table, keys in course.contested.items():
            tx.table(table).seize(keys, self._clock.now())
        read_at, planned = self._planned(tx, course, batches, looked)
        self._pass(Step.PLANNED)
        of = {event: batch for batch in batches for event in batch.events}
        fence, write_at = course.grip.fence, self._clock.now()
        run = Run(course.job, of, read_at, write_at, fence)
        try:
            for _, plan, facts in planned.parts(run):
                plan.write(tx, facts, course.contested)
            self._pass(Step.WRITTEN)
            outcome = self._record(tx, course, planned, run, looked)
            outcome.following += [rest for _, rest in course.put_off(batches)]
            locked_at = None if fence is None else course.locked_at
            record = RunRecord(self._worker, read_at, locked_at, fence, self._clock.now())
            settle(tx, batches, outcome, self._settings, record, write_at)
            self._pass(Step.CLAIMED)
        except (Taken, Outdated):
            course.doubtful = True
            raise
        if self._locking is not None:
            self._locking.ensure(course.grip)
        return outcome

    def _planned(
        self, tx: Records, course: Course, batches: Sequence[Batch], looked: Looked | None
    ) -> tuple[datetime, Planned]:
        """When we began to read, and what the handlers make of the events.

        Raises:
            LeaseLost: somebody has written under a lease younger than ours.
            Outdated: an event failed or is to wait, and only a look tells what it did before.
        """
        if course.ahead is not None and looked is None:
            read_at, planned = course.started_at, course.ahead
        else:
            read_at = self._clock.now()
            records = {event: course.seen.records[event] for event in course.free(batches)}
            planned = self._plan(tx, course.handlers, Seen(records, {}), looked)
        if course.grip.fence is not None and planned.fence > course.grip.fence:
            raise LeaseLost(planned.fence)
        if looked is None and planned.halting:
            course.doubtful = True
            raise Outdated("an event is not applied in a try that did not look")
        if looked is None:
            planned = take_along(course, planned)
        course.companions, course.accompanied = (), planned.along is not None
        return read_at, planned

    def _plan(
        self,
        tx: Records,
        handlers: Sequence[Handler],
        seen: Seen,
        looked: Looked | None = None,
    ) -> Planned:
        """Read what the handlers need, and run them on all events that are not settled."""
        transitions = Transitions(tx, seen.records, seen.transitions)
        plans: dict[Handler, Plan] = {}
        looked = looked or Looked()
        for handler in handlers:
            todo = {
                e: r for e, r in seen.records.items() if (handler.name, e) not in looked.settled
            }
            match handler:
                case Observer():
                    plans[handler] = plan_observer(transitions, handler, todo)
                case Fold():
                    holds = Holds(self._grace, self._clock.now(), looked.held)
                    plans[handler] = plan_fold(
                        tx, self._registry, handler, todo, self._settings, holds
                    )
                    transitions.known[handler.name] = plans[handler].changes
                case Commutative():
                    plans[handler] = plan_action(handler, todo)
                case _:
                    raise UnknownHandler(f"{handler.name} is of no kind that can be run")
        return Planned(plans, transitions)

    def _record(
        self, tx: Records, course: Course, planned: Planned, run: Run, looked: Looked | None
    ) -> Outcome:
        """Write the ledger rows, give failed events batches of their own, chain the rest."""
        outcome = Outcome(repeated=len(looked.settled) if looked else 0)
        rows: list[LedgerRow] = []
        course.followed.clear()
        records = course.seen.records
        for handler, plan, facts in planned.parts(run):
            rows += [facts.row(handler, records[e], result) for e, result in plan.results.items()]
            outcome.failures += [
                failure(handler, records[event], error, run, "handle", self._settings)
                for event, error in plan.faults.items()
            ]
            self._chain(course, handler, list(plan.results), planned, outcome)
            if isinstance(handler, Fold) and handler.numbered_from is not None:
                hold_back(handler, plan, run, records, outcome)
                outcome.following += release(tx, handler, plan, run, self._grace, self._settings)
        outcome.rows, outcome.done = rows, len(rows)
        outcome.late = sum(row.disorder is not None for row in rows)
        if looked is None:
            tx.ledger.insert(rows)
        else:
            failed = [one.row for one in outcome.failures]
            tx.ledger.put([*rows, *failed, *(held.row for held in outcome.held)])
        self._pass(Step.RECORDED)
        return outcome

    def _chain(
        self,
        course: Course,
        handler: Handler,
        events: Sequence[str],
        planned: Planned,
        outcome: Outcome,
    ) -> None:
        """Note what is to be done next on the same events: this handler's observers, effects."""
        if not events:
            return
        for effect in self._registry.effects_of(handler):
            outcome.following.append(Batch.of(effect.name, events, effect.lane))
        observers = self._registry.observers_of(handler)
        if not observers:
            return
        if planned.along is not None and handler in planned.plans:
            outcome.along.append(planned.along.batch)
            return
        batch = siblings(observers, events)
        outcome.following.append(batch)
        root = observers[0].root.name
        known = planned.transitions.known.get(root, {})
        if all(event in known for event in events):
            records = self._store.records.events.unread({e: course.seen.records[e] for e in events})
            course.followed[batch.id] = Seen(records, {root: {e: known[e] for e in events}})

    def _isolate(self, handlers: Sequence[Handler], batch: Batch, error: Exception) -> Outcome:
        """Find which event MongoDB refuses."""
        log.warning("batch_refused", handler=batch.handler, job=batch.id, error=repr(error)[:500])
        outcome = self._store.transact(
            lambda tx: isolate(
                tx,
                handlers,
                batch,
                error,
                self._settings,
                worker=self._worker,
                now=self._clock.now(),
            )
        )
        if self._locking is not None and outcome.claimed:
            records = self._store.read(lambda records: records.events.load(batch.events))
            self._locking.turns.cut(handlers[0], batch, outcome.following, records)
        return outcome
