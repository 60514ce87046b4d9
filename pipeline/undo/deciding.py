"""A person's decisions about one event: undo, try what an undo would do, undo the undo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from pipeline.clock import Clock
from pipeline.errors import NotFound
from pipeline.executor.plan import Contested
from pipeline.metrics import Counts
from pipeline.metrics.catalogue import OPERATOR_ACTIONS
from pipeline.queue import JobQueue
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, LedgerRow, LedgerState, Records, Store
from pipeline.store.batches import batch_id
from pipeline.store.ledger import TROUBLE
from pipeline.undo.report import Undone
from pipeline.undo.taking_back import TakingBack

REASON_CHARACTERS: Final = 1000
SHOWN: Final = 5

log = structlog.get_logger(__name__)


class Redone(NamedTuple):
    """What undoing an undo came to.

    Attributes:
        record: the event.
        done: False where it was not undone.
        handlers: the actions it goes through again.
        requeued: events that had failed or were cancelled without it and are tried again.
    """

    record: EventRecord
    done: bool
    handlers: list[str]
    requeued: int


class Undoing:
    """Undoes events.

    Args:
        store: where the events are.
        registry: the handlers.
        queue: the lanes, and RQ's registries.
        clock: wall time.
        settings: limits.
        counts: where it is counted what persons do.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        queue: JobQueue,
        clock: Clock,
        settings: Settings,
        counts: Counts | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._queue = queue
        self._clock = clock
        self._settings = settings
        self._counts = counts or Counts()

    def rehearse(self, key: str) -> Undone:
        """What an undo of the event would do, from a transaction that is given up.

        Raises:
            NotFound: no event has this key.
            UnknownHandler, RefoldTooLarge, UpdateError, HandlerFault: it can't be undone.
            Unavailable: MongoDB did not answer in time.
        """
        return self._store.rehearse(self._taking_back(key, "", ""))

    def undo(self, key: str, *, by: str, reason: str) -> Undone:
        """Take the event back: everything it touched is as if it had never come.

        Effects that were done stay done. One that is undone already is left alone.

        Args:
            key: the event's key.
            by: who decides.
            reason: one sentence, kept with the event; it may be empty.

        Raises:
            ValueError: the reason is longer than 1,000 characters.
            NotFound, UnknownHandler, RefoldTooLarge, UpdateError, HandlerFault, Unavailable: as
                above; nothing has changed.
        """
        if len(reason) > REASON_CHARACTERS:
            raise ValueError(f"a reason takes up to {REASON_CHARACTERS:,} characters")
        stood: list[LedgerRow] = []

        def work(tx: Records) -> Undone:
            stood[:] = tx.ledger.of_event(key)
            return take_back(tx)

        take_back = self._taking_back(key, by, reason)
        undone = self._store.transact(work)
        if undone.done:
            shown = [batch_id(row.handler, [key]) for row in stood if row.state in TROUBLE]
            self._queue.take_off(shown)
            self._counts.add(OPERATOR_ACTIONS, ("undo",))
            log.info("event_undone", event_key=key, by=by, reason=reason, out=len(undone.out))
        return undone

    def redo(self, key: str) -> Redone:
        """Let an event that was undone come again, as a late one.

        Its actions are put to work; effects that were done are not repeated. Events that
        failed or were cancelled since it was gone are tried again with it, with all their
        attempts. One that is not undone is left alone.

        Raises:
            NotFound: no event has this key.
            Unavailable: MongoDB did not answer in time; nothing has changed.
        """
        now = self._clock.now()
        soon = now + timedelta(seconds=self._settings.rescue_after)

        def come_again(tx: Records) -> tuple[Redone, list[Batch], list[str]]:
            record = _load(tx, key)
            if record.voided is None:
                return Redone(record, done=False, handlers=[], requeued=0), [], []
            rows = tx.ledger.of_event(key)
            discarded = {row.handler for row in rows if row.discarded}
            tx.ledger.put(
                row.withdrawn(LedgerState.WAITING)
                for row in rows
                if row.state is LedgerState.VOIDED
            )
            tx.events.void(key, None)
            actions = self._registry.actions_for(record.event.type)
            work = {action.name: [key] for action in actions if action.name not in discarded}
            fallen = self._fallen(tx, record.voided.fallen)
            for row in fallen:
                # With the event, not after it: without it, it would fail or be cancelled again.
                work.setdefault(row.handler, []).append(row.event)
            lanes = {handler.name: handler.lane for handler in self._registry}
            batches = [Batch.of(name, events, lanes[name]) for name, events in work.items()]
            alone = [batch_id(row.handler, [row.event]) for row in fallen]
            tx.batches.close(alone)
            tx.batches.requeue(batches, created_at=now, due_at=soon)
            return (
                Redone(record, done=True, handlers=list(work), requeued=len(fallen)),
                batches,
                alone,
            )

        redone, batches, alone = self._store.transact(come_again)
        if redone.done:
            self._queue.take_off(alone)
            self._queue.put_back(batches)
            self._counts.add(OPERATOR_ACTIONS, ("redo",))
            log.info("event_redone", event_key=key, requeued=redone.requeued)
        return redone

    def _fallen(self, tx: Records, ids: Sequence[str]) -> list[LedgerRow]:
        """What had no effect without the event, in order, noted as tried again.

        What has gone on since is left alone, and so is what a person discarded.
        """
        handlers = {handler.name for handler in self._registry}
        found = tx.ledger.rows(ids)
        rows = [
            row
            for row in (found[id_] for id_ in ids if id_ in found)
            if (row.state in TROUBLE or row.state is LedgerState.CANCELLED)
            and not row.discarded
            and row.handler in handlers
        ]
        tx.ledger.put(row._replace(state=LedgerState.RETRYING) for row in rows)
        return rows

    def _taking_back(self, key: str, by: str, reason: str) -> Callable[[Records], Undone]:
        contested: Contested = {}

        def work(tx: Records) -> Undone:
            record = _load(tx, key)
            if record.voided is not None:
                return Undone(record, done=False)
            now = self._clock.now()
            taking = TakingBack(tx, self._registry, self._settings, contested, now)
            return taking.take_back(record, by, reason)

        return work


def key_of(store: Store, event_id: str) -> str:
    """The key of the event that has this id.

    Args:
        store: where the events are.
        event_id: the source's id, or the whole key `event_id@tenant/source`.

    Raises:
        NotFound: no event has this id, or several have it.
    """
    keys = store.records.events.keys_of(event_id)
    if not keys:
        raise NotFound(f"no event {event_id!r} is stored")
    if len(keys) > 1:
        some = ", ".join(keys[:SHOWN])
        raise NotFound(f"several events have the id {event_id!r}; name one by its key: {some}")
    return keys[0]


def _load(tx: Records, key: str) -> EventRecord:
    record = tx.events.load([key]).get(key)
    if record is None:
        raise NotFound(f"no event {key!r} is stored")
    return record
