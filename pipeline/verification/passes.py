"""Verifications of everything: split into units, done by all workers, one step at a time.

A unit is a batch on the lane `repair`, so the outbox and the sweeper look after it as after
any other work. When all units of the first phase are done, the worker that did the last one
adds those of the second: what was added up is then held against the derived tables.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.errors import SnapshotGone, Unavailable
from pipeline.queue import Report
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.slots import Part
from pipeline.store import Batch, Records, Store
from pipeline.store.verifications import (
    ASKED_FOR,
    KEPT,
    TRIES,
    Unit,
    Verification,
)
from pipeline.verification.history import History
from pipeline.verification.noting import (
    HANDLER,
    REPAIRED,
    SECOND,
    UNREPAIRED,
    WHOLE,
    Notes,
    Overtaken,
    batches_of,
    total_of,
    untold,
)
from pipeline.verification.pacing import (
    ALONE,
    BESIDE,
    REFUSED_SECONDS,
    NoTraffic,
    Pace,
    Traffic,
    rest,
)
from pipeline.verification.repairing import Repairer
from pipeline.verification.sums import Sum
from pipeline.verification.units import (
    ENTITIES,
    SHARED,
    STRAYS,
    Step,
    cannot_tell,
    derived,
    entities,
    shared,
    shared_folds,
    strays,
)

EVENTS_A_UNIT: Final = 5_000
MOST_UNITS: Final = 1_024
TURN_SECONDS: Final = 5.0
"""A worker that has nothing else to do goes on with a unit for so long."""

log = structlog.get_logger(__name__)


class Verifier:
    """Begins verifications, and does their units.

    Args:
        store: where everything is kept.
        registry: the handlers.
        clock: wall and monotonic time.
        settings: limits.
        worker: who we are.
        traffic: who knows of live work, which goes before ours.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        settings: Settings,
        *,
        worker: str,
        traffic: Traffic | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._traffic = traffic or NoTraffic()
        self._repairer = Repairer(store, registry, clock, settings)
        self._history = History(store, clock)
        self._notes = Notes(store, registry, clock, settings, worker)

    def begin(
        self, part: Part | None = None, *, repairs: bool = False, kind: str = ASKED_FOR
    ) -> tuple[str, list[Batch]]:
        """Begin a verification.

        Args:
            part: only these entities; then derived tables are left out, since others count in
                them as well.
            repairs: whether what is wrong is put right.
            kind: asked for, or a sample.

        Returns:
            Its name, and the batches to enqueue.

        Raises:
            Unavailable: MongoDB did not answer, or keeps no history.
        """
        now = self._clock.now()
        name = f"{kind}-{now:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"
        scope = WHOLE if part is None else str(part)
        try:
            # Only what is added up over all units needs all of them to see the same moment.
            moment = self._history.moment(name) if part is None else None
            units = [
                Unit(f"{name}/{number:05}", work, about)
                for number, (work, about) in enumerate(self._first_phase(part))
            ]
            verification = Verification(name, moment, now, scope, repairs=repairs, left=len(units))
            batches = self._store.transact(lambda tx: self._begin(tx, verification, units))
        except Exception:
            if part is None:
                with suppress(Unavailable):
                    self._history.leave(name)
            raise
        self._forget_old(kind)
        return name, batches

    def _begin(self, tx: Records, verification: Verification, units: Sequence[Unit]) -> list[Batch]:
        if tx.verifications.get(verification.id) is not None:
            return batches_of(units)  # it has been noted, and the answer was lost
        tx.verifications.begin(verification)
        return self._notes.add(tx, units)

    def _forget_old(self, kind: str) -> None:
        """Drop all but the last ones; what is not dropped now is the next time."""

        def forget(records: Records) -> None:
            for old in records.verifications.newest(2 * KEPT, kind)[KEPT:]:
                records.verifications.forget(old.id)

        try:
            self._store.read(forget)
        except Unavailable as away:
            log.warning("old_verifications_kept", error=str(away)[:300])

    def _first_phase(self, part: Part | None) -> Iterator[tuple[str, str]]:
        if part is not None:
            yield ENTITIES, str(part)
            return
        events = self._store.read(lambda records: records.events.count())
        parts = min(MOST_UNITS, max(1, -(-events // EVENTS_A_UNIT)))
        for number in range(parts):
            yield ENTITIES, str(Part(number, parts))
        for fold in shared_folds(self._registry):
            yield SHARED, fold.name

    def run(self, batch: Batch) -> Report:
        """Go on with a unit until it is done, or there is live work.

        Returns:
            The batches to enqueue, the same one among them where the unit is not done yet; and
            for how long to do nothing of the kind.

        Raises:
            Unavailable: MongoDB did not answer in time.
        """
        until = self._clock.monotonic() + TURN_SECONDS
        following: list[Batch] = []
        while not self._traffic.live():
            done, more = self._advance(batch, ALONE)
            following += more
            if done:
                return Report(following)
            if self._clock.monotonic() >= until:
                return Report([*following, batch])
        return self._beside(batch, following)

    def _beside(self, batch: Batch, following: list[Batch]) -> Report:
        """One short step, if it is our turn."""
        if not self._traffic.take_turn():
            return Report([*following, batch], rest_seconds=REFUSED_SECONDS)
        began, pause = self._clock.monotonic(), 0.0
        try:
            done, more = self._advance(batch, BESIDE)
        finally:
            pause = rest(self._clock.monotonic() - began)
            self._traffic.end_turn(pause)
        following += more if done else [*more, batch]
        return Report(following, rest_seconds=pause)

    def _advance(self, batch: Batch, pace: Pace) -> tuple[bool, list[Batch]]:
        """One step; whether the unit is done with it, and what follows."""
        (name,) = batch.events
        there = self._store.read(lambda records: _undone(records, name))
        if there is None:
            self._store.transact(lambda tx: tx.batches.close([batch.id]))
            return True, []
        try:
            return self._advanced(*there, batch, pace)
        except Unavailable:
            # While MongoDB is away nothing can be counted, so an outage is waited out.
            self._store.read(lambda records: records.verifications.note_try(name))
            raise

    def _advanced(
        self, verification: Verification, unit: Unit, batch: Batch, pace: Pace
    ) -> tuple[bool, list[Batch]]:
        step = self._step_or_why_not(verification, unit, pace)
        again: list[Batch] = []
        if verification.repairs:
            done, left, again = self._repairer.before_step(unit, step)
            step.counts.update({REPAIRED: done, UNREPAIRED: left})
        try:
            following = self._notes.keep(verification, unit, step, batch)
        except Overtaken:
            return True, again
        return step.done, [*again, *following]

    def rescue(self, batch: Batch) -> list[Batch]:
        """Note that a worker died while it was at a unit, and decide how the unit goes on.

        It is run again, alone; where that kills a worker too, the rest of it can't be told.

        Returns:
            The batches to enqueue.

        Raises:
            Unavailable: MongoDB did not answer in time; the next rescue goes on from here.
        """
        (name,) = batch.events

        def note(tx: Records) -> int:
            tx.batches.note_death(batch.id, self._clock.now())
            return tx.verifications.note_try(name)

        tries = self._store.transact(note)
        if 0 < tries < TRIES:
            return [Batch.of(HANDLER, [name], batch.lane, batch.attempt, batch.deaths + 1)]
        return self.give_up(name, f"its worker died at the last of {tries} tries of one step")

    def give_up(self, name: str, why: str) -> list[Batch]:
        """End a unit: of all that is left of it, nothing can be told.

        Returns:
            The batches to enqueue, if it was the last one of a phase.

        Raises:
            Unavailable: MongoDB did not answer in time.
        """
        there = self._store.read(lambda records: _undone(records, name))
        if there is None:
            return []
        verification, unit = there
        log.warning("verification_unit_given_up", unit=unit.id, about=unit.about, why=why)
        (batch,) = batches_of([unit])
        try:
            return self._notes.keep(verification, unit, untold(unit, why), batch)
        except Overtaken:
            return []

    def _step_or_why_not(self, verification: Verification, unit: Unit, pace: Pace) -> Step:
        """The next step; where that can't be made, the rest of the unit can't be told.

        An error is not raised: the unit would be tried again for ever, and the report wait.
        """
        try:
            return self._step(verification, unit, pace)
        except SnapshotGone as gone:
            return untold(unit, str(gone))
        except Exception as error:
            if isinstance(error, Unavailable) and not unit.last_try:
                raise
            log.exception("verification_step_failed", unit=unit.id, about=unit.about)
            return untold(unit, cannot_tell(unit.about, unit.id, error).why)

    def _step(self, verification: Verification, unit: Unit, pace: Pace) -> Step:
        work: Callable[[Records], Step]
        before = self._before(unit) if unit.work in SECOND else Counter()
        if unit.work == ENTITIES:
            work = partial(entities, registry=self._registry, unit=unit, size=pace.events)
        elif unit.work == SHARED:
            work = partial(shared, registry=self._registry, unit=unit)
        elif unit.work == STRAYS:
            work = partial(strays, registry=self._registry, unit=unit, present=before)
        else:
            found = self._store.read(
                lambda records: records.verifications.sums_after(
                    unit.verification, unit.about, unit.after, pace.documents
                )
            )
            totals = [(key, Sum.from_stored(fields)) for key, fields in found]
            end = len(found) < pace.documents
            work = partial(
                derived,
                registry=self._registry,
                unit=unit,
                sums=totals,
                sums_end=end,
                before=before,
                size=pace.documents,
            )
        if verification.moment is None:
            return self._store.rehearse(work)
        return self._store.as_of(verification.moment, work)

    def _before(self, unit: Unit) -> Counter[str]:
        """What all units so far came to."""
        of = unit.verification
        return total_of(self._store.read(lambda records: records.verifications.units(of)))


def _undone(records: Records, name: str) -> tuple[Verification, Unit] | None:
    """The unit of this name, if it is not done, and the verification that it is of."""
    unit = records.verifications.unit(name)
    verification = unit and records.verifications.get(unit.verification)
    return None if unit is None or unit.done or verification is None else (verification, unit)
