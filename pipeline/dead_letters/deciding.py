"""What a person decides about dead letters: requeue or discard, one by one or all that match.

Each decision on up to 500 letters is one transaction: ledger rows and batches change
together, or neither. A letter that is dead no longer when its turn comes is left alone, so
deciding twice is harmless, and of a person and a worker who touch the same letter at once
the second sees what the first has done. Redis is told afterwards; what it does not hear, the
sweeper puts right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from pipeline.clock import Clock
from pipeline.metrics import Counts
from pipeline.metrics.catalogue import OPERATOR_ACTIONS
from pipeline.queue import JobQueue
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import Batch, LedgerRow, LedgerState, Records, Store, Where
from pipeline.store.batches import batch_id

CHUNK: Final = 500
"""Letters of one transaction."""
REASON_CHARACTERS: Final = 1000

log = structlog.get_logger(__name__)


class Decided(NamedTuple):
    """What became of letters that a decision was meant for.

    Attributes:
        done: requeued, or discarded.
        left_alone: dead no longer when their turn came.
        unknown: not requeued, since no loaded module declares their handler.
        untold: of those done, how many Redis was not told of, since it was away.
    """

    done: int = 0
    left_alone: int = 0
    unknown: int = 0
    untold: int = 0

    @property
    def letters(self) -> int:
        """All that it was meant for."""
        return self.done + self.left_alone + self.unknown

    def plus(self, other: Decided) -> Decided:
        """Both together."""
        return Decided(*map(sum, zip(self, other, strict=True)))


Progress = Callable[[Decided], object]
"""Told after each transaction what was decided so far."""


class Decisions:
    """Makes decisions of a person true.

    Args:
        store: where the letters are.
        registry: the handlers.
        queue: the lanes, and RQ's registries.
        clock: wall time.
        settings: when the sweeper looks at what was requeued.
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
        self._lanes = {handler.name: handler.lane for handler in registry}
        self._queue = queue
        self._clock = clock
        self._settings = settings
        self._counts = counts or Counts()

    def requeue(self, letters: Sequence[str]) -> Decided:
        """Put letters back to work, with all their attempts before them.

        Args:
            letters: their ids.

        Raises:
            Unavailable: MongoDB did not answer in time; what is decided so far stays so.
        """
        return _sum(self._requeue(chunk) for chunk in _chunks(letters))

    def discard(self, letters: Sequence[str], reason: str) -> Decided:
        """Give letters up for good: their handler has no effect for them, nor what follows it.

        Nothing takes that back by itself, a late event that heals neither.

        Args:
            letters: their ids.
            reason: one sentence, kept in the ledger with what they died of.

        Raises:
            ValueError: the reason is empty or longer than 1,000 characters.
            Unavailable: as above.
        """
        _check_reason(reason)
        return _sum(self._discard(chunk, reason) for chunk in _chunks(letters))

    def requeue_all(
        self, where: Where, *, limit: int | None = None, on_progress: Progress = lambda _: None
    ) -> Decided:
        """Put all letters back to work that match, those that died first before others.

        One that dies again meanwhile is not taken again.

        Args:
            where: which letters.
            limit: most letters; None for all.
            on_progress: told after each transaction.

        Raises:
            Unavailable: as above.
        """
        return self._each(where, limit, self._requeue, on_progress)

    def discard_all(
        self,
        where: Where,
        reason: str,
        *,
        limit: int | None = None,
        on_progress: Progress = lambda _: None,
    ) -> Decided:
        """Give all letters up that match; as `requeue_all` and `discard`.

        Raises:
            ValueError: as above.
            Unavailable: as above.
        """
        _check_reason(reason)
        return self._each(where, limit, lambda ids: self._discard(ids, reason), on_progress)

    def _each(
        self,
        where: Where,
        limit: int | None,
        decide: Callable[[Sequence[str]], Decided],
        on_progress: Progress,
    ) -> Decided:
        dead, total, after = (LedgerState.DEAD,), Decided(), None
        where, left = where.as_of(self._clock.now()), limit
        while left is None or left > 0:
            size = CHUNK if left is None else min(CHUNK, left)
            places = self._store.records.trouble.places(dead, where, limit=size, after=after)
            if not places:
                break
            total = total.plus(decide([place.id for place in places]))
            on_progress(total)
            after = places[-1]
            left = None if left is None else left - len(places)
        return total

    def _requeue(self, ids: Sequence[str]) -> Decided:
        now = self._clock.now()
        soon = now + timedelta(seconds=self._settings.rescue_after)

        def put_back(tx: Records) -> tuple[list[Batch], int]:
            dead = _dead(tx, ids)
            known = [row for row in dead if row.handler in self._lanes]
            batches = [
                Batch.of(row.handler, [row.event], self._lanes[row.handler]) for row in known
            ]
            tx.ledger.put(row._replace(state=LedgerState.RETRYING) for row in known)
            tx.batches.requeue(batches, created_at=now, due_at=soon)
            return batches, len(dead) - len(known)

        batches, unknown = self._store.transact(put_back)
        told = self._queue.put_back(batches) is not None
        self._counts.add(OPERATOR_ACTIONS, ("requeue",), len(batches))
        log.info("dead_letters_requeued", letters=len(batches), unknown=unknown)
        done = len(batches)
        return Decided(done, len(ids) - done - unknown, unknown, 0 if told else done)

    def _discard(self, ids: Sequence[str], reason: str) -> Decided:
        now = self._clock.now()

        def give_up(tx: Records) -> list[str]:
            dead = _dead(tx, ids)
            batches = [batch_id(row.handler, [row.event]) for row in dead]
            tx.ledger.put(row.discard(reason, now) for row in dead)
            tx.batches.close(batches)
            return batches

        batches = self._store.transact(give_up)
        told = self._queue.take_off(batches)
        self._counts.add(OPERATOR_ACTIONS, ("discard",), len(batches))
        log.info("dead_letters_discarded", letters=len(batches), reason=reason)
        done = len(batches)
        return Decided(done, len(ids) - done, untold=0 if told else done)


def _dead(tx: Records, ids: Sequence[str]) -> list[LedgerRow]:
    return [row for row in tx.ledger.rows(ids).values() if row.state is LedgerState.DEAD]


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Each id once, in parts that fit into a transaction."""
    each = list(dict.fromkeys(ids))
    return (each[start : start + CHUNK] for start in range(0, len(each), CHUNK))


def _sum(decided: Iterator[Decided]) -> Decided:
    total = Decided()
    for one in decided:
        total = total.plus(one)
    return total


def _check_reason(reason: str) -> None:
    if not 0 < len(reason.strip()) <= len(reason) <= REASON_CHARACTERS:
        raise ValueError(f"a reason takes 1 to {REASON_CHARACTERS:,} characters")
