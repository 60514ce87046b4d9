"""Effects: something done outside, at least once, under a key that makes it once.

No transaction spans our database and the world. So for each event a ledger row says
`sending` before the function is called, and `done` as soon as it has returned, before the
next event's turn. Where a worker dies in between, the row tells that it is unknown whether it
was done, and it is done again under the same key. Nothing else ever repeats an effect: not a
second delivery of the batch, not a late event, not a replay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.clock import Clock
from pipeline.declarations import Effect
from pipeline.errors import HandlerFault
from pipeline.executor.deriving import Transitions, change_of
from pipeline.executor.failing import failure
from pipeline.executor.outcome import Outcome
from pipeline.executor.plan import Result, Run
from pipeline.executor.settled import look
from pipeline.executor.settling import settle
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, LedgerRow, LedgerState, Records, RunRecord, Store
from pipeline.store.ledger import row_id
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
        now = self._clock.now()
        of = {event: batch for batch in pending for event in batch.events}
        run = Run(batches[0].id, of, now, now)
        todo, changes = self._store.transact(lambda tx: _begin(tx, effect, events, run))
        outcome = Outcome(repeated=len(events) - len(todo))
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
                self._note_done(run.row(effect, record, Result(LedgerState.DONE)))
            else:
                skipped.append(run.row(effect, record, Result(LedgerState.SKIPPED)))
        return skipped

    def _note_done(self, row: LedgerRow) -> None:
        def note(tx: Records) -> None:
            begun = tx.ledger.rows([row.id]).get(row.id)
            # What it had seen may have become another while it was done.
            tx.ledger.put([row._replace(outdated=begun.outdated if begun else None)])

        self._store.transact(note)

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


def _begin(
    tx: Records, effect: Effect, events: Sequence[str], run: Run
) -> tuple[list[EventRecord], Mapping[str, Transition]]:
    """Note that it begins for all events for which it is not settled.

    Returns:
        These events, and what all events changed. Whoever changes that from now on finds
        the rows.
    """
    records = tx.events.load(events)
    changes = Transitions(tx, records, {}).under(effect.after)
    settled = look(tx, [effect], events).settled
    todo = [records[event] for event in events if (effect.name, event) not in settled]
    begun = [run.row(effect, record, Result(LedgerState.SENDING)) for record in todo]
    tx.ledger.put([*begun, *_right_again(tx, effect, events, changes)])
    return todo, changes


def _right_again(
    tx: Records, effect: Effect, events: Sequence[str], changes: Mapping[str, Transition]
) -> Iterator[LedgerRow]:
    """Rows of effects that are done and would be as they were, since what they saw is back."""
    for row in tx.ledger.rows([row_id(event, effect.name) for event in events]).values():
        seen = row.outdated.seen if row.outdated else None
        if seen and row.event in changes and changes[row.event].digest == seen:
            yield row._replace(outdated=None)


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
