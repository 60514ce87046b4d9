"""Verifications of everything: split into units, done by all workers, one step at a time.

A unit is a batch on the lane `repair`, so the outbox and the sweeper look after it as after
any other work. When all units of the first phase are done, the worker that did the last one
adds those of the second: what was added up is then held against the derived tables.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog

from pipeline.clock import Clock
from pipeline.declarations import Fold, Lane
from pipeline.errors import SnapshotGone, Unavailable
from pipeline.registry import Registry
from pipeline.replay import ABSENT, Difference, Kind
from pipeline.settings import Settings
from pipeline.slots import Part
from pipeline.store import Batch, Outdated, Records, Store
from pipeline.store.batches import RunRecord
from pipeline.store.verifications import ASKED_FOR, KEPT, MOST_FINDINGS, Unit, Verification
from pipeline.verification.findings import Finding, Unknown
from pipeline.verification.repairing import NotMended, Repairer, not_repaired
from pipeline.verification.stored import of_entities
from pipeline.verification.sums import Sum
from pipeline.verification.units import (
    DERIVED,
    ENTITIES,
    SHARED,
    STEP_DOCUMENTS,
    STRAYS,
    UNREAD,
    WRONG,
    Step,
    cannot_tell,
    derived,
    derived_tables,
    entities,
    shared,
    shared_folds,
    strays,
)

HANDLER: Final = "verification.run"
"""What stands for a handler in the batches of units."""
WHOLE: Final = "all"
SECOND: Final = (DERIVED, STRAYS)
"""What goes by what all the other units came to."""
REPAIRED: Final = "repaired"
UNREPAIRED: Final = "unrepaired"
"""The counts of what was put right, and of what was to be and was not."""
EVENTS_A_UNIT: Final = 5_000
MOST_UNITS: Final = 1_024
TURN_SECONDS: Final = 5.0
"""A worker that has nothing else to do goes on with a unit for so long."""

log = structlog.get_logger(__name__)


class _Overtaken(Exception):
    """Another worker was faster with the same step, and goes on with the unit."""


class Verifier:
    """Begins verifications, and does their units.

    Args:
        store: where everything is kept.
        registry: the handlers.
        clock: wall and monotonic time.
        settings: limits.
        worker: who we are.
        busy: whether other work waits, which goes before ours.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        settings: Settings,
        *,
        worker: str,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._worker = worker
        self._busy = busy
        self._repairer = Repairer(store, registry, clock, settings)

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
        # Only what is added up over all units needs all of them to see the same moment.
        moment, kept = self._store.present() if part is None else (None, None)
        name = f"{kind}-{now:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"
        units = [
            Unit(f"{name}/{number:05}", work, about)
            for number, (work, about) in enumerate(self._first_phase(part))
        ]
        scope = WHOLE if part is None else str(part)

        def note(tx: Records) -> list[Batch]:
            if tx.verifications.get(name) is not None:
                return _batches(units)  # it has been noted, and the answer was lost
            tx.verifications.begin(
                Verification(name, moment, now, scope, repairs=repairs, left=len(units), kept=kept)
            )
            for old in tx.verifications.newest(KEPT + 1, kind)[KEPT:]:
                tx.verifications.forget(old.id)
            return self._add(tx, units)

        return name, self._store.transact(note)

    def _first_phase(self, part: Part | None) -> Iterator[tuple[str, str]]:
        if part is not None:
            yield ENTITIES, str(part)
            return
        events = self._store.records.events.count()
        parts = min(MOST_UNITS, max(1, -(-events // EVENTS_A_UNIT)))
        for number in range(parts):
            yield ENTITIES, str(Part(number, parts))
        for fold in shared_folds(self._registry):
            yield SHARED, fold.name

    def _second_phase(self) -> Iterator[tuple[str, str]]:
        for table in derived_tables(self._registry):
            yield DERIVED, table
        for action in of_entities(self._registry):
            if isinstance(action, Fold):
                yield STRAYS, action.name

    def _add(self, tx: Records, units: Sequence[Unit]) -> list[Batch]:
        now = self._clock.now()
        batches = _batches(units)
        soon = now + timedelta(seconds=self._settings.rescue_after)
        tx.verifications.add_units(units)
        tx.batches.insert(batches, created_at=now, due_at=soon)
        return batches

    def run(self, batch: Batch) -> list[Batch]:
        """Go on with a unit until it is done, or other work waits.

        Returns:
            The batches to enqueue: the same one where the unit is not done yet.

        Raises:
            Unavailable: MongoDB did not answer in time.
        """
        until = self._clock.monotonic() + TURN_SECONDS
        following: list[Batch] = []
        while True:
            done, more = self._advance(batch)
            following += more
            if done:
                return following
            if self._busy() or self._clock.monotonic() >= until:
                return [*following, batch]

    def _advance(self, batch: Batch) -> tuple[bool, list[Batch]]:
        """One step; whether the unit is done with it, and what follows."""
        (name,) = batch.events
        unit = self._store.records.verifications.unit(name)
        verification = unit and self._store.records.verifications.get(unit.verification)
        if unit is None or unit.done or verification is None:
            self._store.transact(lambda tx: tx.batches.close([batch.id]))
            return True, []
        step = self._step_or_why_not(verification, unit)
        again: list[Batch] = []
        if verification.repairs:
            done, left, again = self._repairer.before_step(unit, step)
            step.counts.update({REPAIRED: done, UNREPAIRED: left})
        try:
            following = self._noted(verification, unit, step, batch)
        except _Overtaken:
            return True, again
        if step.done and not following and verification.kept is not None:
            self._end(verification, verification.kept)
        return step.done, [*again, *following]

    def _end(self, verification: Verification, kept: int) -> None:
        """Let MongoDB keep history for as long as before, if nobody needs it any more."""
        known = self._store.records.verifications.newest(KEPT, ASKED_FOR)
        running = [one for one in known if one.moment is not None and one.ended_at is None]
        if not running and any(one.id == verification.id for one in known):
            self._store.keep_no_longer(kept)

    def _step_or_why_not(self, verification: Verification, unit: Unit) -> Step:
        """The next step; where that can't be made, the rest of the unit can't be told.

        An error is not raised: the unit would be tried again for ever, and the report wait.
        """
        try:
            return self._step(verification, unit)
        except Unavailable:
            raise
        except SnapshotGone as gone:
            why = Unknown(unit.about, unit.id, str(gone))
        except Exception as error:
            log.exception("verification_step_failed", unit=unit.id, about=unit.about)
            why = cannot_tell(unit.about, unit.id, error)
        return Step(unit.after, findings=[why], counts=Counter({UNREAD: 1}))

    def _noted(
        self, verification: Verification, unit: Unit, step: Step, batch: Batch
    ) -> list[Batch]:
        """Note the step; without its repairs, where these fail."""
        note = partial(self._note, verification=verification, unit=unit, step=step, batch=batch)
        if not verification.repairs:
            return self._store.transact(note)
        while True:
            try:
                return self._store.transact(partial(note, mends=True))
            except (Unavailable, _Overtaken):
                raise
            except NotMended as failed:
                log.warning("repair_failed", unit=unit.id, about=failed.key, why=str(failed))
                step.findings.append(not_repaired(unit.about, failed.key, failed.cause))
                step.counts[UNREPAIRED] += 1
                del step.mending[failed.key]
            except Exception as error:
                log.exception("repair_failed", unit=unit.id, about=unit.about)
                step.findings.append(not_repaired(unit.about, unit.id, error))
                step.counts[UNREPAIRED] += max(1, len(step.mending))
                return self._store.transact(note)

    def _step(self, verification: Verification, unit: Unit) -> Step:
        kept = self._store.records.verifications
        work: Callable[[Records], Step]
        before = total_of(kept.units(unit.verification)) if unit.work in SECOND else Counter()
        if unit.work == ENTITIES:
            work = partial(entities, registry=self._registry, unit=unit)
        elif unit.work == SHARED:
            work = partial(shared, registry=self._registry, unit=unit)
        elif unit.work == STRAYS:
            work = partial(strays, registry=self._registry, unit=unit, present=before)
        else:
            found = kept.sums_after(unit.verification, unit.about, unit.after, STEP_DOCUMENTS)
            totals = [(key, Sum.from_stored(fields)) for key, fields in found]
            end = len(found) < STEP_DOCUMENTS
            work = partial(
                derived,
                registry=self._registry,
                unit=unit,
                sums=totals,
                sums_end=end,
                before=before,
            )
        if verification.moment is None:
            return self._store.rehearse(work)
        return self._store.as_of(verification.moment, work)

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
            raise _Overtaken from None
        room = max(0, MOST_FINDINGS - found_by(unit))
        kept.note(unit, [_stored(finding) for finding in step.findings[:room]])
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
                return self._add(tx, units)
        kept.end(verification.id, self._clock.now())
        kept.forget_sums(verification.id)
        log.info("verified", verification=verification.id, **total_of(before))
        return []


def _batches(units: Sequence[Unit]) -> list[Batch]:
    return [Batch.of(HANDLER, [unit.id], Lane.REPAIR) for unit in units]


def found_by(unit: Unit) -> int:
    """How much a unit has found so far."""
    return sum(n for name, n in unit.counts.items() if name == "unknown" or name.startswith(WRONG))


def total_of(units: Sequence[Unit]) -> Counter[str]:
    """The counts of all units together."""
    total: Counter[str] = Counter()
    for unit in units:
        total.update(unit.counts)
    return total


def _stored(finding: Finding) -> dict[str, Any]:
    """A finding as it is kept; what is absent is left out."""
    if isinstance(finding, Unknown):
        return {"table": finding.table, "id": finding.id, "why": finding.why}
    values = {"expected": finding.expected, "actual": finding.actual}
    return {
        "table": finding.table,
        "id": finding.id,
        "kind": finding.kind.value,
        "path": finding.path,
        **{name: value for name, value in values.items() if value is not ABSENT},
    }


def finding_of(stored: Mapping[str, Any]) -> Finding:
    """The finding that was kept so."""
    if "why" in stored:
        return Unknown(stored["table"], stored["id"], stored["why"])
    return Difference(
        stored["table"],
        stored["id"],
        Kind(stored["kind"]),
        stored["path"],
        stored.get("expected", ABSENT),
        stored.get("actual", ABSENT),
    )
