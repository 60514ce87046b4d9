"""The executor: claim, load, plan, write, record, chain, commit; then fan out.

One transaction holds it all, so an event's effect and its ledger row are there together or
not at all. An event whose handler raises is split off to a batch of its own within the same
transaction, and its neighbours go on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from pipeline import backoff
from pipeline.clock import Clock
from pipeline.declarations import Commutative, Fold, Handler, Observer
from pipeline.errors import EventFailed, HandlerFault, Unavailable, UnknownHandler
from pipeline.executor.deriving import Transitions, plan_action, plan_observer
from pipeline.executor.plan import MILLISECONDS, Contested, Plan, Result, Run, described
from pipeline.executor.refolding import plan_fold
from pipeline.registry import SIBLINGS, Registry
from pipeline.settings import Settings
from pipeline.store import (
    Batch,
    EventRecord,
    LedgerRow,
    LedgerState,
    Records,
    RunRecord,
    Store,
    Taken,
)
from pipeline.store.ledger import FINAL, row_id

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Outcome:
    """What came of one batch; in memory only.

    Attributes:
        claimed: False where the batch had been done before.
        done: effects committed, of any handler on any event.
        repeated: effects that had been there before.
        faults: by handler and event key, why it could not be done.
        late: how many events were late for their document.
        chained: batches for the handlers that follow.
        retries: batches of one for the events that failed.
    """

    claimed: bool = True
    done: int = 0
    repeated: int = 0
    faults: dict[tuple[str, str], Exception] = field(default_factory=dict)
    late: int = 0
    chained: list[Batch] = field(default_factory=list)
    retries: list[Batch] = field(default_factory=list)


Planned = tuple[Mapping[str, EventRecord], dict[Handler, Plan]]
"""The events of a batch, and what each handler makes of them."""


@dataclass(slots=True)
class _Course:
    """What the tries of one batch's transaction hand on to each other.

    Attributes:
        handlers: one, or sibling observers.
        batch: what they are run on.
        read_at: when we began to read.
        contested: derived documents to seize first, since an earlier try lost them.
        doubtful: whether a ledger row was there, so that the next try has to look.
        ahead: what was planned before the transaction began, if anything.
    """

    handlers: Sequence[Handler]
    batch: Batch
    read_at: datetime
    contested: Contested = field(default_factory=dict)
    doubtful: bool = False
    ahead: Planned | None = None


class Executor:
    """Runs batches.

    Args:
        store: where everything is kept.
        registry: the handlers.
        clock: wall and monotonic time.
        settings: limits.
        worker: who we are in the ledger.
        enqueue: hands batches to RQ; called after the commit, and allowed to fail, since the
            sweeper finds what was not enqueued.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        settings: Settings,
        *,
        worker: str,
        enqueue: Callable[[Sequence[Batch]], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._worker = worker
        self._enqueue = enqueue

    def run(self, names: str, job: str, events: Sequence[str]) -> Outcome:
        """Run one batch, and hand on what follows from it.

        Args:
            names: the handler's name, or those of sibling observers joined by `+`.
            job: the batch's id.
            events: event keys.

        Raises:
            UnknownHandler: no loaded module declares one of the handlers.
            EventFailed: the batch is one event, and it failed; everything is recorded.
            Unavailable: MongoDB did not answer in time; nothing has changed.
        """
        handlers = self._registry.handlers(names)
        batch = Batch.of(names, events, handlers[0].lane)
        if batch.id != job:
            raise HandlerFault(f"job {job} does not hold the events that its id was made from")
        started = self._clock.monotonic()
        course = _Course(handlers, batch, self._clock.now())
        try:
            if all(isinstance(handler, Observer) for handler in handlers):
                course.ahead = self._plan(self._store.records, course, set())
            outcome = self._store.transact(lambda tx: self._attempt(tx, course))
        except Unavailable:
            raise
        except Exception as refusal:  # noqa: BLE001 - one event is at fault; halving finds it
            outcome = self._isolate(handlers, batch, refusal)
        self._enqueue(outcome.chained)
        self._log(batch, outcome, self._clock.monotonic() - started)
        if outcome.faults and len(batch.events) == 1:
            (handler, event), fault = next(iter(outcome.faults.items()))
            raise EventFailed(f"{handler}: {event}: {fault}") from fault
        return outcome

    def _attempt(self, tx: Records, course: _Course) -> Outcome:
        """One try of the transaction."""
        batch = course.batch
        read_at = self._clock.now() if course.ahead is None else course.read_at
        failed_before = tx.batches.claim(batch.id, RunRecord(self._worker, read_at))
        if failed_before is None:
            return Outcome(claimed=False)
        for table, keys in course.contested.items():
            tx.table(table).seize(keys, self._clock.now())
        # We expect no ledger rows and skip the look: inserting them is the check. If one is
        # there, that undoes the transaction, and the next try looks.
        looking = course.doubtful or failed_before > 0
        settled = self._settled(tx, course) if looking else set()
        if course.ahead is not None and not looking:
            records, plans = course.ahead
        else:
            records, plans = self._plan(tx, course, settled)
        repeated = len(settled) + (0 if looking else self._forgive(tx, plans))
        run = Run(batch.id, failed_before + 1, read_at, self._clock.now())
        try:
            for plan in plans.values():
                plan.write(tx, run, course.contested)
            return self._record(tx, plans, records, run, fresh=not looking, repeated=repeated)
        except Taken:
            course.doubtful = True
            raise

    def _settled(self, tx: Records, course: _Course) -> set[tuple[str, str]]:
        """Pairs of handler and event that are done."""
        events = course.batch.events
        return _final(tx, [row_id(event, h.name) for h in course.handlers for event in events])

    def _forgive(self, tx: Records, plans: Mapping[Handler, Plan]) -> int:
        """Drop the faults of events that are done: a try that did not look could not know.

        Returns:
            How many there were.
        """
        faults = [row_id(event, h.name) for h, plan in plans.items() for event in plan.faults]
        done = _final(tx, faults) if faults else set()
        for handler, plan in plans.items():
            plan.faults = {e: x for e, x in plan.faults.items() if (handler.name, e) not in done}
        return len(done)

    def _plan(self, tx: Records, course: _Course, settled: set[tuple[str, str]]) -> Planned:
        """Read what the handlers need, and run them on all events that are not settled.

        Observers may be planned ahead, outside of the transaction: if what they read changes
        before it commits, the change has written their ledger rows, and inserting ours fails.
        So the transaction that holds the hot documents is short.
        """
        records = tx.events.load(course.batch.events)
        transitions = Transitions(tx, records)
        plans: dict[Handler, Plan] = {}
        for handler in course.handlers:
            todo = {e: r for e, r in records.items() if (handler.name, e) not in settled}
            match handler:
                case Observer():
                    plans[handler] = plan_observer(transitions, handler, todo)
                case Fold():
                    plans[handler] = plan_fold(tx, self._registry, handler, todo)
                case Commutative():
                    plans[handler] = plan_action(handler, todo)
                case _:
                    raise UnknownHandler(f"{handler.name} is of no kind that can be run")
        return records, plans

    def _record(
        self,
        tx: Records,
        plans: Mapping[Handler, Plan],
        records: Mapping[str, EventRecord],
        run: Run,
        *,
        fresh: bool,
        repeated: int,
    ) -> Outcome:
        """Write the ledger rows, give failed events batches of their own, chain the rest."""
        outcome = Outcome(repeated=repeated)
        rows: list[LedgerRow] = []
        for handler, plan in plans.items():
            rows += [run.row(handler, records[e], result) for e, result in plan.results.items()]
            for event, error in plan.faults.items():
                outcome.faults[handler.name, event] = error
                retry = self._fail(tx, handler, records[event], error, run, "handle")
                outcome.retries.append(retry)
            outcome.chained += self._chain(tx, handler, list(plan.results), run)
        if fresh:
            tx.ledger.insert(rows)
        else:
            tx.ledger.put(rows)
        outcome.done = len(rows)
        outcome.late = sum(row.late_ms is not None for row in rows)
        return outcome

    def _fail(
        self,
        tx: Records,
        handler: Handler,
        record: EventRecord,
        error: Exception,
        run: Run,
        stage: str,
    ) -> Batch:
        """Record a failed attempt, and when the next one is due, if any."""
        allowed = handler.max_attempts or self._settings.max_attempts
        dead = run.attempt >= allowed
        state = LedgerState.DEAD if dead else LedgerState.RETRYING
        tx.ledger.put([run.row(handler, record, Result(state, error=described(error, stage)))])
        retry = Batch.of(handler.name, [record.event.key], handler.lane, attempt=run.attempt)
        due_at = None if dead else run.write_at + backoff.delay(run.attempt)
        tx.batches.add([retry], created_at=run.write_at, due_at=due_at)
        return retry

    def _chain(self, tx: Records, handler: Handler, events: Sequence[str], run: Run) -> list[Batch]:
        """Record what is to be done next: the observers of this handler, on the same events."""
        observers = self._registry.observers_of(handler)
        if not events or not observers:
            return []
        names = SIBLINGS.join(observer.name for observer in observers)
        following = [Batch.of(names, events, observers[0].lane)]
        self._add(tx, following, run.write_at)
        return following

    def _isolate(self, handlers: Sequence[Handler], batch: Batch, error: Exception) -> Outcome:
        """Find what is at fault: cut the batch, or record the failure of a single event.

        Such an error came from writing (a document that MongoDB refuses), so it does not
        say which event or handler it belongs to.
        """
        log.warning("batch_refused", handler=batch.handler, job=batch.id, error=repr(error)[:500])

        def cut(tx: Records) -> Outcome:
            now = self._clock.now()
            failed_before = tx.batches.claim(batch.id, RunRecord(self._worker, now))
            if failed_before is None:
                return Outcome(claimed=False)
            if len(handlers) == len(batch.events) == 1:
                (handler,), (event,) = handlers, batch.events
                record = tx.events.load([event])[event]
                run = Run(batch.id, failed_before + 1, now, now)
                retry = self._fail(tx, handler, record, error, run, "write")
                return Outcome(faults={(handler.name, event): error}, retries=[retry])
            parts = list(_parts(handlers, batch, failed_before))
            self._add(tx, parts, now)
            return Outcome(chained=parts)

        return self._store.transact(cut)

    def _add(self, tx: Records, batches: Sequence[Batch], now: datetime) -> None:
        due_at = now + timedelta(seconds=self._settings.rescue_after)
        tx.batches.add(batches, created_at=now, due_at=due_at)

    def _log(self, batch: Batch, outcome: Outcome, seconds: float) -> None:
        log.info(
            "batch_done" if outcome.claimed else "batch_was_done",
            handler=batch.handler,
            job=batch.id,
            worker=self._worker,
            events=len(batch.events),
            done=outcome.done,
            repeated=outcome.repeated,
            failed=len(outcome.faults),
            late=outcome.late,
            chained=len(outcome.chained),
            ms=round(seconds * MILLISECONDS, 1),
        )
        for (handler, event), error in outcome.faults.items():
            log.warning("event_failed", handler=handler, event_key=event, error=repr(error)[:500])


def _final(tx: Records, ids: Sequence[str]) -> set[tuple[str, str]]:
    """Pairs of handler and event, of these rows, that are done for good."""
    rows = tx.ledger.rows(ids).values()
    return {(row.handler, row.event) for row in rows if row.state in FINAL}


def _parts(handlers: Sequence[Handler], batch: Batch, failed_before: int) -> Iterator[Batch]:
    """The batch in two halves of its events; of a single event, one for each handler."""
    middle = len(batch.events) // 2
    if not middle:
        for handler in handlers:
            yield Batch.of(handler.name, batch.events, batch.lane, failed_before)
        return
    for events in (batch.events[:middle], batch.events[middle:]):
        yield Batch.of(batch.handler, events, batch.lane, failed_before)
