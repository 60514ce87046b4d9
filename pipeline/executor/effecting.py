"""Effects: something done outside, at least once, under a key that makes it once.

No transaction spans our database and the world. So for each event a ledger row says
`sending` before the function is called, and `done` as soon as it has returned, before the
next event's turn. Where a worker dies in between, the row tells that it is unknown whether it
was done, and it is done again under the same key. Nothing else ever repeats an effect: not a
second delivery of the batch, not a late event, not a replay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.clock import Clock
from pipeline.declarations import Effect
from pipeline.errors import HandlerFault
from pipeline.executor.deriving import Transitions, change_of
from pipeline.executor.failing import failure
from pipeline.executor.outcome import Failure, Outcome
from pipeline.executor.plan import Result, Run
from pipeline.executor.settled import Looked, look
from pipeline.executor.settling import settle
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, LedgerRow, LedgerState, Records, RunRecord, Store
from pipeline.store.ledger import Outdated, row_id
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
        # Not within the transaction: payloads are read when the function asks for them.
        records = self._store.read(lambda records: records.events.load(events))
        now = self._clock.now()
        of = {event: batch for batch in pending for event in batch.events}
        run = Run(batches[0].id, of, now, now)
        begun = self._store.transact(lambda tx: _begin(tx, effect, records, events, run))
        did = self._do(effect, begun, run)
        return self._store.transact(lambda tx: self._close(tx, effect, ids, begun, did, run))

    def _do(self, effect: Effect, begun: _Begun, run: Run) -> _Did:
        """Do it for one event after the other; what was done is noted before the next begins."""
        did = _Did()
        for record in begun.todo:
            try:
                done = _call(effect, begun.changes.get(record.event.key), record)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's fault
                did.failures.append(failure(effect, record, error, run, "handle", self._settings))
                continue
            if done:
                did.done.append(run.row(effect, record, Result(LedgerState.DONE)))
                self._note_done(did.done[-1])
            else:
                did.skipped.append(run.row(effect, record, Result(LedgerState.SKIPPED)))
        return did

    def _note_done(self, row: LedgerRow) -> None:
        def note(tx: Records) -> None:
            begun = tx.ledger.rows([row.id]).get(row.id)
            # What it had seen may have become another while it was done.
            tx.ledger.put([row._replace(outdated=begun.outdated if begun else None)])

        self._store.transact(note)

    def _close(
        self,
        tx: Records,
        effect: Effect,
        batches: Sequence[str],
        begun: _Begun,
        did: _Did,
        run: Run,
    ) -> Outcome:
        """Note what failed and what there was nothing to do for, and settle the batches.

        Others may have been there meanwhile: a worker that was given the same batch, or
        somebody who took an event back or changed what the function has seen.
        """
        outcome = Outcome(repeated=begun.settled, rows=[*did.done, *did.skipped])
        outcome.done = len(outcome.rows)
        failed = {one.row.id: one for one in did.failures}
        looked_at = [*did.skipped, *(one.row for one in did.failures)]
        rows = tx.ledger.rows([row.id for row in looked_at])
        leading = tx.ledger.rows([row_id(row.event, effect.after.name) for row in looked_at])
        put: list[LedgerRow] = []
        for row in looked_at:
            stands = rows.get(row.id)
            if stands is None or stands.state is not LedgerState.SENDING:
                continue  # another worker has come to an end with it
            leader = leading.get(row_id(row.event, effect.after.name))
            if leader is None or not leader.has_effect:
                void = leader is not None and leader.state is LedgerState.VOIDED
                put.append(row.withdrawn(LedgerState.VOIDED if void else LedgerState.WAITING))
            elif row.id in failed:
                put.append(row)
                outcome.failures.append(failed[row.id])
            elif stands.outdated != begun.outdated.get(row.id):
                # There was nothing to do for the change as it was; it is another one now.
                put.append(row.withdrawn(LedgerState.WAITING))
                outcome.following.append(Batch.of(effect.name, [row.event], effect.lane))
            else:
                put.append(row)
        tx.ledger.put(put)
        pending = list(tx.batches.pending(batches).values())
        if pending:
            record = RunRecord(self._worker, run.read_at)
            settle(tx, pending, outcome, self._settings, record, self._clock.now())
        return outcome


@dataclass(frozen=True, slots=True)
class _Begun:
    """What is to be done.

    Attributes:
        todo: the events for which it is not settled.
        changes: by event, what it changed. Whoever changes that from now on finds the rows.
        settled: how many events there is nothing to be done for.
        outdated: by id of a row, the note that its effect would be different, if it has one.
    """

    todo: Sequence[EventRecord]
    changes: Mapping[str, Transition]
    settled: int
    outdated: Mapping[str, Outdated | None]


@dataclass(slots=True)
class _Did:
    """What came of it.

    Attributes:
        done: rows of events for which it did something.
        skipped: rows of those for which there was nothing to do. They can wait: to look at such
            an event again does nothing outside.
        failures: of the others.
    """

    done: list[LedgerRow] = field(default_factory=list)
    skipped: list[LedgerRow] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def _begin(
    tx: Records,
    effect: Effect,
    records: Mapping[str, EventRecord],
    events: Sequence[str],
    run: Run,
) -> _Begun:
    """Note that it begins for all events for which it is not settled."""
    changes = Transitions(tx, records, {}).under(effect.after)
    looked = look(tx, [effect], events)
    todo = [records[event] for event in events if (effect.name, event) not in looked.settled]
    sending = []
    for record in todo:
        row = run.row(effect, record, Result(LedgerState.SENDING))
        stands = looked.rows.get(row.id)
        if stands is not None and stands.state is LedgerState.SENDING:
            # It may have been done, and then the outside keeps what it was told first.
            row = row._replace(outdated=stands.outdated)
        sending.append(row)
    tx.ledger.put([*sending, *_right_again(looked, changes)])
    outdated = {row.id: row.outdated for row in sending}
    return _Begun(todo, changes, len(events) - len(todo), outdated)


def _right_again(looked: Looked, changes: Mapping[str, Transition]) -> Iterator[LedgerRow]:
    """Rows of effects that are done and would be as they were, since what they saw is back."""
    for row in looked.rows.values():
        seen = row.outdated.seen if row.outdated and row.state is LedgerState.DONE else None
        if seen and row.event in changes and changes[row.event].digest == seen:
            yield row._replace(outdated=None)


def _call(effect: Effect, transition: Transition | None, record: EventRecord) -> bool:
    """Whether the effect did anything for the event."""
    event = record.event
    change = change_of(effect.after, event.key, transition)
    did: object = effect.function(change, event, row_id(event.key, effect.name))
    if not isinstance(did, bool):
        raise HandlerFault(f"{effect.name} returned {did!r}; an effect says whether it did it")
    return did
