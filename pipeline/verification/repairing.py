"""Putting right what a verification has found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final, cast

from pipeline.clock import Clock
from pipeline.declarations import Action, Fold
from pipeline.executor.healing import Site
from pipeline.executor.plan import Contested, Run
from pipeline.registry import Registry
from pipeline.replay import Difference, Kind
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, Records, Store
from pipeline.store.verifications import Unit
from pipeline.verification.entity import look_at
from pipeline.verification.mending import mend
from pipeline.verification.rebuilding import rebuild
from pipeline.verification.stored import of_entities
from pipeline.verification.units import SHARED, STRAYS, Step, events_of_fold, leads_to

JOB: Final = "repair"
"""What the ledger names as the job of rows that a repair has written."""


class Repairer:
    """Puts right, in transactions of its own or of others.

    Args:
        store: where everything is kept.
        registry: the handlers.
        clock: wall time.
        settings: limits.
    """

    def __init__(self, store: Store, registry: Registry, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings

    def entity(self, tenant: str, entity_id: str) -> list[Batch]:
        """Put one entity right; the batches to enqueue for what had been lost.

        Raises:
            Unavailable: MongoDB did not answer in time; nothing has changed.
        """
        load = partial(_events_of, tenant=tenant, entity_id=entity_id)
        return self._put_right(load, of_entities(self._registry))

    def entity_and_derived(self, tenant: str, entity_id: str) -> tuple[int, list[Batch]]:
        """Put one entity right, and all derived documents that it counts in.

        Returns:
            How many documents were put right, and batches to enqueue.

        Raises:
            NotFound: the entity has no events.
            Unavailable: MongoDB did not answer in time.
        """

        def attempt(tx: Records) -> int:
            now, mended = self._clock.now(), 0
            run = Run(JOB, {}, now, now)
            for table, key, total, seen in look_at(tx, self._registry, tenant, entity_id)[1]:
                mended += mend(
                    tx, self._registry, run, table=table, key=key, total=total, seen=seen
                )
            return mended

        checked, _ = self._store.rehearse(
            lambda records: look_at(records, self._registry, tenant, entity_id)
        )
        wrong = bool(checked.wrong)
        following = self.entity(tenant, entity_id) if wrong else []
        return wrong + self._store.transact(attempt), following

    def before_step(self, unit: Unit, step: Step) -> tuple[int, list[Batch]]:
        """Put right what a step has found wrong of entities, before it is noted.

        A step that is done again does it again, and to put right what is right does no harm.

        Returns:
            How many entities were put right, and batches to enqueue.
        """
        if not step.wrong:
            return 0, []
        if unit.work == SHARED:
            fold = cast("Fold", self._registry.handler(unit.about))
            load = partial(events_of_fold, registry=self._registry, fold=fold)
            return 1, self._put_right(load, [fold])
        records = self._store.records.events.load(step.wrong).values()
        entities = {(record.event.tenant, record.event.entity_id) for record in records}
        following = [batch for entity in entities for batch in self.entity(*entity)]
        return len(entities), following

    def within_step(self, tx: Records, unit: Unit, step: Step) -> int:
        """Mend derived documents and remove strays, in the transaction of the step.

        Returns:
            How many documents were put right.
        """
        now, mended = self._clock.now(), 0
        run = Run(JOB, {}, now, now)
        for key, (total, seen) in step.mending.items():
            mended += mend(
                tx, self._registry, run, table=unit.about, key=key, total=total, seen=seen
            )
        if unit.work in (STRAYS, SHARED):
            for one in step.findings:
                if isinstance(one, Difference) and self._is_stray(tx, unit, one):
                    tx.table(one.table).remove([one.id])
                    mended += 1
        return mended

    def _put_right(
        self, load: Callable[[Records], Mapping[str, EventRecord]], actions: Collection[Action]
    ) -> list[Batch]:
        contested: Contested = {}

        def attempt(tx: Records) -> list[Batch]:
            now = self._clock.now()
            for table, keys in contested.items():
                tx.table(table).seize(keys, now)
            site = Site(tx, self._registry, Run(JOB, {}, now, now), contested, self._settings)
            return rebuild(site, load(tx), actions)

        return self._store.transact(attempt)

    def _is_stray(self, tx: Records, unit: Unit, found: Difference) -> bool:
        """Whether still no event leads to a document that none had led to."""
        fold = cast("Fold", self._registry.handler(unit.about))
        if found.kind is not Kind.UNEXPECTED or found.table not in (fold.table, fold.history):
            return False
        if not isinstance(found.id, str):
            return True
        key = found.id
        if found.table == fold.history:
            key = tx.history(fold.history).key_of({"_id": found.id})
        return not leads_to(tx, self._registry, fold, key)


def _events_of(tx: Records, *, tenant: str, entity_id: str) -> Mapping[str, EventRecord]:
    return tx.events.of_entity(tenant, entity_id)
