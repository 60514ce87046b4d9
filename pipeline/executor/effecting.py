"""Effects: something done outside, at least once, under a key that makes it once.

No transaction spans our database and the world. So for each event a ledger row says
`sending` before the function is called, and `done` as soon as it has returned, before the
next event's turn. Where a worker dies in between, the row tells that it is unknown whether it
was done, and it is done again under the same key. Nothing else ever repeats an effect: not a
second delivery of the batch, not a late event, not a replay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.clock import Clock
from pipeline.declarations import Effect
from pipeline.errors import HandlerFault
from pipeline.executor.deriving import Transitions, change_of
from pipeline.executor.failing import failure
from pipeline.executor.outcome import Outcome
from pipeline.executor.plan import Result, Run
from pipeline.executor.settling import settle
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, LedgerRow, LedgerState, Records, RunRecord, Store
from pipeline.store.ledger import FINAL, row_id
from pipeline.temporal import Transition


class Effects:
    """Runs batches of effects, one event after the other.

    Args:
        store: where everything is kept.
        clock: wall time.
        settings: limits.
        worker: who we are in the ledger.
    """

    def __init__(self, store: Store, clock: Clock, settings: Settings, worker: str) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._worker = worker

    def run(self, effect: Effect, batches: Sequence[Batch]) -> Outcome:
        """Do the effect for every event of the batches for which it is not done.

        Raises:
            Unavailable: MongoDB did not answer in time; what was done is noted, but for the
                event at hand.
        """
        ids = [batch.id for batch in batches]
        pending = list(self._store.read(lambda records: records.batches.pending(ids)).values())
        if not pending:
            return Outcome(claimed=False)
        events = [event for batch in pending for event in batch.events]
        records, changes, rows = self._store.read(lambda reading: _seen(reading, effect, events))
        now = self._clock.now()
        failed = {event: batch.attempt for batch in pending for event in batch.events}
        run = Run(batches[0].id, failed, now, now)
        outcome = Outcome()
        done = {e for e in events if _is_done(rows.get(row_id(e, effect.name)))}
        outcome.repeated = len(done)
        todo = [records[event] for event in events if event not in done]
        self._note([run.row(effect, record, Result(LedgerState.SENDING)) for record in todo])
        skipped = self._do(effect, todo, changes, run, outcome)
        self._store.transact(lambda tx: self._close(tx, pending, outcome, skipped, run))
        return outcome

    def _do(
        self,
        effect: Effect,
        todo: Sequence[EventRecord],
        changes: Mapping[str, Transition],
        run: Run,
        outcome: Outcome,
    ) -> list[LedgerRow]:
        """Do it for one event after the other; what was done is noted before the next begins.

        Returns:
            Rows of the events for which there was nothing to do. They can wait: to look at
            such an event again does nothing outside.
        """
        skipped = []
        for record in todo:
            try:
                did = _call(effect, changes.get(record.event.key), record)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
                outcome.failures.append(
                    failure(effect, record, error, run, "handle", self._settings)
                )
                continue
            outcome.done += 1
            if did:
                self._note([run.row(effect, record, Result(LedgerState.DONE))])
            else:
                skipped.append(run.row(effect, record, Result(LedgerState.SKIPPED)))
        return skipped

    def _note(self, rows: Sequence[LedgerRow]) -> None:
        self._store.transact(lambda tx: tx.ledger.put(rows))

    def _close(
        self,
        tx: Records,
        batches: Sequence[Batch],
        outcome: Outcome,
        skipped: Sequence[LedgerRow],
        run: Run,
    ) -> None:
        tx.ledger.put([*skipped, *(failed.row for failed in outcome.failures)])
        record = RunRecord(self._worker, run.read_at)
        settle(tx, batches, outcome, self._settings, record, self._clock.now())


def _is_done(row: LedgerRow | None) -> bool:
    return row is not None and row.state in FINAL


def _seen(
    reading: Records, effect: Effect, events: Sequence[str]
) -> tuple[Mapping[str, EventRecord], Mapping[str, Transition], Mapping[str, LedgerRow]]:
    """The events, what they changed, and what the ledger says of them."""
    records = reading.events.load(events)
    changes = Transitions(reading, records, {}).under(effect.after)
    return records, changes, reading.ledger.rows([row_id(e, effect.name) for e in events])


def _call(effect: Effect, transition: Transition | None, record: EventRecord) -> bool:
    """Whether the effect did anything for the event."""
    event = record.event
    if transition is None:
        raise HandlerFault(f"{effect.after.name} has left no row for {event.key}")
    key = row_id(event.key, effect.name)
    did: object = effect.function(change_of(effect.after, transition), event, key)
    if not isinstance(did, bool):
        raise HandlerFault(f"{effect.name} returned {did!r}; an effect says whether it did it")
    return did
