"""Keeping what a step of a verification came to, and what follows from it.

All of a step is kept in one transaction: how far its unit has come, what it found, what it
added up, and its repairs. Where that can't be, as much of it is kept as can be, so that every
unit ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.declarations import Fold, Lane
from pipeline.errors import Unavailable
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.store import Batch, Outdated, Records, Store
from pipeline.store.batches import RunRecord
from pipeline.store.verifications import MOST_FINDINGS, Unit, Verification
from pipeline.verification.findings import Unknown, stored_finding
from pipeline.verification.history import History
from pipeline.verification.repairing import NotMended, Repairer, not_repaired
from pipeline.verification.stored import of_entities
from pipeline.verification.sums import Sum
from pipeline.verification.units import DERIVED, STRAYS, UNREAD, WRONG, Step, derived_tables

HANDLER: Final = "verification.run"
"""What stands for a handler in the batches of units."""
WHOLE: Final = "all"
SECOND: Final = (DERIVED, STRAYS)
"""What goes by what all the other units came to."""
REPAIRED: Final = "repaired"
UNREPAIRED: Final = "unrepaired"
"""The counts of what was put right, and of what was to be and was not."""

log = structlog.get_logger(__name__)


class Overtaken(Exception):
    """Another worker was faster with the same step, and goes on with the unit."""


class Notes:
    """What the units of verifications came to.

    Args:
        store: where everything is kept.
        registry: the handlers.
        clock: wall time.
        settings: limits.
        worker: who we are.
    """

    def __init__(
        self, store: Store, registry: Registry, clock: Clock, settings: Settings, worker: str
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._worker = worker
        self._repairer = Repairer(store, registry, clock, settings)
        self._history = History(store, clock)

    def add(self, tx: Records, units: Sequence[Unit]) -> list[Batch]:
        """Note units that are to be done; their batches."""
        now = self._clock.now()
        batches = batches_of(units)
        soon = now + timedelta(seconds=self._settings.rescue_after)
        tx.verifications.add_units(units)
        tx.batches.insert(batches, created_at=now, due_at=soon)
        return batches

    def keep(self, verification: Verification, unit: Unit, step: Step, batch: Batch) -> list[Batch]:
        """Note the step, in the first way that can be: as it is, unrepaired, or as given up.

        Returns:
            Batches of the phase that begins with it, if one does.

        Raises:
            Overtaken: another worker has noted it already.
            Unavailable: MongoDB did not answer in time, and the step may be tried again.
        """
        note = partial(self._note, verification=verification, unit=unit, batch=batch)
        ways = [partial(note, step=step, mends=True)] if verification.repairs else []
        for way in (*ways, partial(note, step=step)):
            try:
                following = self._transact(way, unit, step)
                break
            except Overtaken:
                raise
            except Exception as error:
                if isinstance(error, Unavailable) and not unit.last_try:
                    raise
                log.exception("verification_step_not_noted", unit=unit.id, about=unit.about)
                step.findings.append(not_repaired(unit.about, unit.id, error))
                step.counts[UNREPAIRED] += max(1, len(step.mending))
                why = f"what was found can't be noted: {type(error).__name__}: {error}"
        else:
            step = untold(unit, why[:1000])
            following = self._store.transact(partial(note, step=step))
        if step.done and not following:
            self._tidy(verification.id)
        return following

    def _transact(
        self, way: Callable[[Records], list[Batch]], unit: Unit, step: Step
    ) -> list[Batch]:
        """Note the step; without the documents that can't be mended, one by one."""
        while True:
            try:
                return self._store.transact(way)
            except NotMended as failed:
                log.warning("repair_failed", unit=unit.id, about=failed.key, why=str(failed))
                step.findings.append(not_repaired(unit.about, failed.key, failed.cause))
                step.counts[UNREPAIRED] += 1
                del step.mending[failed.key]

    def _note(
        self,
        tx: Records,
        *,
        verification: Verification,
        unit: Unit,
        step: Step,
        batch: Batch,
        mends: bool = False,
    ) -> list[Batch]:
        """Keep what the step came to, and what follows from it, in one transaction."""
        kept = tx.verifications
        counts = step.tally()
        if mends:
            done, left, _ = self._repairer.within_step(tx, unit, step)
            counts[REPAIRED] = counts.get(REPAIRED, 0) + done
            counts[UNREPAIRED] = counts.get(UNREPAIRED, 0) + left
        try:
            kept.advance(unit, step.after, done=step.done, counts=counts)
        except Outdated:
            raise Overtaken from None
        room = max(0, MOST_FINDINGS - found_by(unit))
        kept.note(unit, [stored_finding(one) for one in step.findings[:room]])
        for table, sums in step.sums.tables.items():
            known = kept.sums(verification.id, table, list(sums))
            merged = {
                key: (Sum.from_stored(known[key]).merge(one) if key in known else one).stored()
                for key, one in sums.items()
            }
            kept.put_sums(verification.id, table, merged)
        if not step.done:
            return []
        now = self._clock.now()
        tx.batches.settle([batch.id], RunRecord(self._worker, now), [], created_at=now)
        return self._next_phase(tx, verification) if not kept.count_down(verification.id) else []

    def _next_phase(self, tx: Records, verification: Verification) -> list[Batch]:
        """What comes when all units of a phase are done: the next phase, or the end."""
        kept = tx.verifications
        before = kept.units(verification.id)
        if verification.scope == WHOLE and not any(unit.work in SECOND for unit in before):
            units = [
                Unit(f"{verification.id}/{number:05}", work, about)
                for number, (work, about) in enumerate(self._second_phase(), start=len(before))
            ]
            if units:
                kept.leave(verification.id, len(units))
                return self.add(tx, units)
        kept.end(verification.id, self._clock.now())
        log.info("verified", verification=verification.id, **total_of(before))
        return []

    def _second_phase(self) -> Iterator[tuple[str, str]]:
        for table in derived_tables(self._registry):
            yield DERIVED, table
        for action in of_entities(self._registry):
            if isinstance(action, Fold):
                yield STRAYS, action.name

    def _tidy(self, name: str) -> None:
        """Drop what nobody needs once a verification has ended; the pass does not wait for it."""
        verification = self._store.read(lambda records: records.verifications.get(name))
        if verification is None or verification.ended_at is None:
            return
        if verification.moment is not None:
            self._history.leave(name)
        self._store.read(lambda records: records.verifications.forget_sums(name))


def batches_of(units: Sequence[Unit]) -> list[Batch]:
    """The batches that stand for units."""
    return [Batch.of(HANDLER, [unit.id], Lane.REPAIR) for unit in units]


def untold(unit: Unit, why: str) -> Step:
    """The end of a unit, of whose rest nothing can be told."""
    finding = Unknown(unit.about, unit.id, why)
    return Step(unit.after, findings=[finding], counts=Counter({UNREAD: 1}))


def found_by(unit: Unit) -> int:
    """How much a unit has found so far."""
    return sum(n for name, n in unit.counts.items() if name == "unknown" or name.startswith(WRONG))


def total_of(units: Sequence[Unit]) -> Counter[str]:
    """The counts of all units together."""
    total: Counter[str] = Counter()
    for unit in units:
        total.update(unit.counts)
    return total
