"""The executor: claim, load, plan, write, record, chain, commit; then fan out.

One transaction holds it all, so an event's effect and its ledger row are there together or
not at all. An event whose handler raises is split off to a batch of its own within the same
transaction, and its neighbours go on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from pipeline import backoff
from pipeline.clock import Clock
from pipeline.declarations import Commutative, Fold, Handler, Observer
from pipeline.errors import EventFailed, HandlerFault, Unavailable, UnknownHandler
from pipeline.executor.deriving import plan_action, plan_observer
from pipeline.executor.plan import MILLISECONDS, Plan, Result, Run, described
from pipeline.executor.refolding import plan_fold
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, LedgerState, Records, RunRecord, Store
from pipeline.store.ledger import FINAL, row_id

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Outcome:
    """What came of one batch; in memory only.

    Attributes:
        claimed: False where the batch had been done before.
        done: events whose effect is committed.
        repeated: events that had been done before.
        faults: by event key, why it could not be done.
        late: how many events were late for their document.
        chained: batches for the handlers that follow.
        retries: batches of one for the events that failed.
    """

    claimed: bool = True
    done: list[str] = field(default_factory=list)
    repeated: int = 0
    faults: dict[str, Exception] = field(default_factory=dict)
    late: int = 0
    chained: list[Batch] = field(default_factory=list)
    retries: list[Batch] = field(default_factory=list)


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

    def run(self, handler_name: str, job: str, events: Sequence[str]) -> Outcome:
        """Run one handler on one batch, and hand on what follows from it.

        Raises:
            UnknownHandler: no loaded module declares the handler.
            EventFailed: the batch is one event, and it failed; everything is recorded.
            Unavailable: MongoDB did not answer in time; nothing has changed.
        """
        handler = self._registry.handler(handler_name)
        batch = Batch.of(handler.name, events, handler.lane)
        if batch.id != job:
            raise HandlerFault(f"job {job} does not hold the events that its id was made from")
        started = self._clock.monotonic()
        try:
            outcome = self._store.transact(
                lambda tx, attempt: self._attempt(tx, handler, batch, attempt)
            )
        except Unavailable:
            raise
        except Exception as refusal:  # noqa: BLE001 - one event is at fault; halving finds it
            outcome = self._isolate(handler, batch, refusal)
        self._enqueue(outcome.chained)
        self._log(handler, batch, outcome, self._clock.monotonic() - started)
        if outcome.faults and len(batch.events) == 1:
            (fault,) = outcome.faults.values()
            raise EventFailed(f"{handler.name}: {batch.events[0]}: {fault}") from fault
        return outcome

    def _attempt(self, tx: Records, handler: Handler, batch: Batch, attempt: int) -> Outcome:
        """One try of the transaction."""
        read_at = self._clock.now()
        failed_before = tx.batches.claim(batch.id, RunRecord(self._worker, read_at))
        if failed_before is None:
            return Outcome(claimed=False)
        # A first try expects no ledger rows and skips the look: inserting them is the check.
        # If one is there, that undoes the transaction, and the second try looks.
        first = attempt == 1 and failed_before == 0
        settled = set() if first else self._settled(tx, handler, batch)
        records = tx.events.load([event for event in batch.events if event not in settled])
        plan = self._plan(tx, handler, records)
        run = Run(batch.id, failed_before + 1, read_at, self._clock.now())
        plan.write(tx, run)
        retries = self._record(tx, handler, records, plan, run, fresh=first)
        chained = self._chain(tx, handler, list(plan.results), run)
        return Outcome(
            done=list(plan.results),
            repeated=len(settled),
            faults=plan.faults,
            late=sum(result.late_ms is not None for result in plan.results.values()),
            chained=chained,
            retries=retries,
        )

    def _settled(self, tx: Records, handler: Handler, batch: Batch) -> set[str]:
        """Events of the batch that this handler is done with."""
        rows = tx.ledger.rows([row_id(event, handler.name) for event in batch.events])
        return {row.event for row in rows.values() if row.state in FINAL}

    def _plan(self, tx: Records, handler: Handler, records: Mapping[str, EventRecord]) -> Plan:
        match handler:
            case Observer():
                return plan_observer(tx, handler, records)
            case Fold():
                return plan_fold(tx, self._registry, handler, records)
            case Commutative():
                return plan_action(handler, records)
            case _:
                raise UnknownHandler(f"{handler.name} is of no kind that can be run")

    def _record(
        self,
        tx: Records,
        handler: Handler,
        records: Mapping[str, EventRecord],
        plan: Plan,
        run: Run,
        *,
        fresh: bool,
    ) -> list[Batch]:
        """Write the ledger rows; give each failed event a batch of its own."""
        rows = [run.row(handler, records[key], result) for key, result in plan.results.items()]
        if fresh:
            tx.ledger.insert(rows)
        else:
            tx.ledger.put(rows)
        return [
            self._fail(tx, handler, records[key], error, run, "handle")
            for key, error in plan.faults.items()
        ]

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
        """Record what is to be done next: every observer of this handler, on the same events."""
        if not events:
            return []
        following = [
            Batch.of(observer.name, events, observer.lane)
            for observer in self._registry.observers_of(handler)
        ]
        tx.batches.add(
            following,
            created_at=run.write_at,
            due_at=run.write_at + timedelta(seconds=self._settings.rescue_after),
        )
        return following

    def _isolate(self, handler: Handler, batch: Batch, error: Exception) -> Outcome:
        """Find the event at fault: halve the batch, or record the failure of a single one.

        Such an error came from writing (a document that MongoDB refuses), so it does not
        say which event it belongs to.
        """
        log.warning("batch_refused", handler=handler.name, job=batch.id, error=repr(error)[:500])

        def halve(tx: Records, _attempt: int) -> Outcome:
            now = self._clock.now()
            failed_before = tx.batches.claim(batch.id, RunRecord(self._worker, now))
            if failed_before is None:
                return Outcome(claimed=False)
            if len(batch.events) == 1:
                record = tx.events.load(batch.events)[batch.events[0]]
                run = Run(batch.id, failed_before + 1, now, now)
                retry = self._fail(tx, handler, record, error, run, "write")
                return Outcome(faults={batch.events[0]: error}, retries=[retry])
            middle = len(batch.events) // 2
            halves = [
                Batch.of(handler.name, part, batch.lane, attempt=failed_before)
                for part in (batch.events[:middle], batch.events[middle:])
            ]
            tx.batches.add(
                halves,
                created_at=now,
                due_at=now + timedelta(seconds=self._settings.rescue_after),
            )
            return Outcome(chained=halves)

        return self._store.transact(halve)

    def _log(self, handler: Handler, batch: Batch, outcome: Outcome, seconds: float) -> None:
        log.info(
            "batch_done" if outcome.claimed else "batch_was_done",
            handler=handler.name,
            job=batch.id,
            worker=self._worker,
            events=len(batch.events),
            done=len(outcome.done),
            repeated=outcome.repeated,
            failed=len(outcome.faults),
            late=outcome.late,
            chained=len(outcome.chained),
            ms=round(seconds * MILLISECONDS, 1),
        )
        for event, error in outcome.faults.items():
            log.warning(
                "event_failed", handler=handler.name, event_key=event, error=repr(error)[:500]
            )
