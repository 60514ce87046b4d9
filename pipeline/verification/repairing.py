"""Putting right what a verification has found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, cast

import structlog

from pipeline.clock import Clock
from pipeline.declarations import Action, Fold
from pipeline.errors import Unavailable
from pipeline.executor.healing import Site
from pipeline.executor.plan import Contested, Run
from pipeline.registry import Registry
from pipeline.replay import Difference, Kind
from pipeline.settings import Settings
from pipeline.store import Batch, EventRecord, Records, Store
from pipeline.store.verifications import Unit
from pipeline.verification.entity import look_at
from pipeline.verification.findings import Finding, Unknown
from pipeline.verification.mending import mend
from pipeline.verification.rebuilding import Rebuilt, rebuild
from pipeline.verification.stored import of_entities
from pipeline.verification.units import SHARED, STRAYS, Step, events_of_fold, led_to

JOB: Final = "repair"
"""What the ledger names as the job of rows that a repair has written."""

log = structlog.get_logger(__name__)


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

    def entity(self, tenant: str, entity_id: str) -> Rebuilt:
        """Put one entity right, as far as can be told what is right.

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
            for one in look_at(tx, self._registry, tenant, entity_id)[1]:
                if one.doubt is None:
                    mended += mend(
                        tx,
                        self._registry,
                        run,
                        table=one.table,
                        key=one.key,
                        total=one.total,
                        seen=one.document,
                    )
            return mended

        checked, _ = self._store.rehearse(
            lambda records: look_at(records, self._registry, tenant, entity_id)
        )
        wrong = bool(checked.wrong)
        following = self.entity(tenant, entity_id).following if wrong else []
        return wrong + self._store.transact(attempt), following

    def before_step(self, unit: Unit, step: Step) -> tuple[int, list[Batch]]:
        """Put right what a step has found wrong of entities, before it is noted.

        A step that is done again does it again, and to put right what is right does no harm.
        What can't be put right is told in the step's findings, and the others go on.

        Returns:
            How many entities were put right, and batches to enqueue.

        Raises:
            Unavailable: MongoDB did not answer in time.
        """
        if not step.wrong:
            return 0, []
        done, following = 0, list[Batch]()
        for name, put_right in self._repairs(unit, step.wrong):
            try:
                rebuilt = put_right()
            except Unavailable:
                raise
            except Exception as error:
                log.exception("repair_failed", unit=unit.id, about=name)
                step.findings.append(not_repaired(unit.work, name, error))
            else:
                following += rebuilt.following
                done += not rebuilt.left
        return done, following

    def _repairs(
        self, unit: Unit, wrong: Collection[str]
    ) -> Iterator[tuple[str, Callable[[], Rebuilt]]]:
        """What is put right in one transaction each, by its name."""
        if unit.work == SHARED:
            fold = cast("Fold", self._registry.handler(unit.about))
            load = partial(events_of_fold, registry=self._registry, fold=fold)
            yield fold.name, partial(self._put_right, load, [fold])
            return
        records = self._store.records.events.load(wrong).values()
        for tenant, entity_id in {(r.event.tenant, r.event.entity_id) for r in records}:
            yield f"{tenant}:{entity_id}", partial(self.entity, tenant, entity_id)

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
            fold = cast("Fold", self._registry.handler(unit.about))
            for table in (fold.table, fold.history):
                strays = self._strays(tx, fold, table, step.findings)
                tx.table(table).remove(strays)
                mended += len(strays)
        return mended

    def _put_right(
        self, load: Callable[[Records], Mapping[str, EventRecord]], actions: Collection[Action]
    ) -> Rebuilt:
        contested: Contested = {}

        def attempt(tx: Records) -> Rebuilt:
            now = self._clock.now()
            for table, keys in contested.items():
                tx.table(table).seize(keys, now)
            site = Site(tx, self._registry, Run(JOB, {}, now, now), contested, self._settings)
            return rebuild(site, load(tx), actions)

        return self._store.transact(attempt)

    def _strays(
        self, tx: Records, fold: Fold, table: str, findings: Iterable[Finding]
    ) -> list[Any]:
        """Ids of documents that no event had led to, and to which still none does."""
        ids = [
            one.id
            for one in findings
            if isinstance(one, Difference) and one.table == table and one.kind is Kind.UNEXPECTED
        ]
        is_row = table == fold.history
        keys = {
            id_: tx.history(table).key_of({"_id": id_}) if is_row else id_
            for id_ in ids
            if isinstance(id_, str)
        }
        led = led_to(tx, self._registry, fold, set(keys.values())) if keys else set()
        return [id_ for id_ in ids if keys.get(id_) not in led]


def not_repaired(what: str, id_: str, error: Exception) -> Unknown:
    """That something could not be put right."""
    return Unknown(what, id_, f"could not be put right: {type(error).__name__}: {error}"[:1000])


def _events_of(tx: Records, *, tenant: str, entity_id: str) -> Mapping[str, EventRecord]:
    return tx.events.of_entity(tenant, entity_id)
