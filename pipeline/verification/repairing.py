"""Putting right what a verification has found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, cast

import structlog
from pymongo.errors import PyMongoError

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
from pipeline.tables import Document
from pipeline.verification.checking import Checked
from pipeline.verification.entity import Derived, look_at
from pipeline.verification.findings import Finding, Unknown
from pipeline.verification.mending import mend, unmoved
from pipeline.verification.rebuilding import Rebuilt, rebuild
from pipeline.verification.stored import of_entities
from pipeline.verification.sums import Sum
from pipeline.verification.units import DERIVED, SHARED, STRAYS, Step, events_of_fold, led_to

JOB: Final = "repair"
"""What the ledger names as the job of rows that a repair has written."""

log = structlog.get_logger(__name__)


class Repaired(NamedTuple):
    """What became of what was to be put right.

    Attributes:
        done: how many entities and derived documents were put right.
        left: how many were not: they can't be, or have changed since they were looked at.
        following: batches to enqueue, of what had been lost.
    """

    done: int
    left: int
    following: list[Batch]


class NotMended(Exception):
    """One document can't be put right, and the transaction in which it was tried is lost.

    Attributes:
        key: the document's id.
        cause: why it can't.
    """

    def __init__(self, key: str, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.key = key
        self.cause = cause


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

    def entity_and_derived(self, tenant: str, entity_id: str) -> Repaired:
        """Put one entity right, and all derived documents that it counts in.

        Raises:
            NotFound: the entity has no events.
            Unavailable: MongoDB did not answer in time.
        """

        def look(records: Records) -> tuple[Checked, list[Derived]]:
            return look_at(records, self._registry, tenant, entity_id)

        checked, derived = self._store.rehearse(look)
        done, left, following = 0, 0, list[Batch]()
        if checked.wrong:
            rebuilt = self.entity(tenant, entity_id)
            following, left = rebuilt.following, int(bool(rebuilt.left))
            done = 1 - left
            _, derived = self._store.rehearse(look)
        # What is added after the look stays, so all of the ledger is read outside of the
        # transaction that holds the totals of everybody.
        for one in derived:
            if any(isinstance(finding, Difference) for finding in one.findings):
                mending = {one.key: (one.total, one.document)}
                try:
                    mended = self._store.transact(partial(self._mend, one.table, mending))
                except NotMended as failed:
                    log.warning("repair_failed", about=f"{one.table}[{one.key}]", why=str(failed))
                    mended = 0
                done, left = done + mended, left + (not mended)
        return Repaired(done, left, following)

    def before_step(self, unit: Unit, step: Step) -> Repaired:
        """Put right what a step has found wrong of entities, before it is noted.

        A step that is done again does it again, and to put right what is right does no harm.
        What can't be put right is told in the step's findings, and the others go on; so is, at
        the step's last try, what takes longer than a transaction may.

        Raises:
            Unavailable: MongoDB did not answer in time.
        """
        if not step.wrong:
            return Repaired(0, 0, [])
        done, left, following = 0, 0, list[Batch]()
        for name, put_right in self._repairs(unit, step.wrong):
            try:
                rebuilt = put_right()
            except Exception as error:
                if isinstance(error, Unavailable) and not unit.last_try:
                    raise
                log.exception("repair_failed", unit=unit.id, about=name)
                step.findings.append(not_repaired(unit.work, name, error))
                left += 1
            else:
                following += rebuilt.following
                done, left = done + (not rebuilt.left), left + bool(rebuilt.left)
        return Repaired(done, left, following)

    def _repairs(
        self, unit: Unit, wrong: Collection[str]
    ) -> Iterator[tuple[str, Callable[[], Rebuilt]]]:
        """What is put right in one transaction each, by its name."""
        if unit.work == SHARED:
            fold = cast("Fold", self._registry.handler(unit.about))
            load = partial(events_of_fold, registry=self._registry, fold=fold)
            yield fold.name, partial(self._put_right, load, [fold])
            return
        records = self._store.read(lambda records: records.events.load(wrong)).values()
        for tenant, entity_id in {(r.event.tenant, r.event.entity_id) for r in records}:
            yield f"{tenant}:{entity_id}", partial(self.entity, tenant, entity_id)

    def within_step(self, tx: Records, unit: Unit, step: Step) -> Repaired:
        """Mend derived documents and remove strays, in the transaction of the step.

        Raises:
            NotMended: one of the documents can't be; in another try it is to be left out.
        """
        done = self._mend(unit.about, step.mending, tx)
        left = len(step.mending) - done
        if unit.work == DERIVED:
            # Contributions never come to an id that is no text.
            odd = [id_ for id_ in _unexpected(step.findings, unit.about) if type(id_) is not str]
            tx.table(unit.about).remove(odd)
            done += len(odd)
        elif unit.work in (STRAYS, SHARED):
            fold = cast("Fold", self._registry.handler(unit.about))
            for table in (fold.table, fold.history):
                ids = _unexpected(step.findings, table)
                strays = self._strays(tx, fold, table, ids)
                tx.table(table).remove(strays)
                done += len(strays)
                left += len(tx.table(table).get([id_ for id_ in ids if type(id_) is str]))
        return Repaired(done, left, [])

    def _mend(
        self, table: str, mending: Mapping[str, tuple[Sum, Document | None]], tx: Records
    ) -> int:
        """Mend derived documents, each by what it should be and was; how many are right now."""
        now, done = self._clock.now(), 0
        run = Run(JOB, {}, now, now)
        gone = {key: total for key, (total, seen) in mending.items() if seen is None}
        known = unmoved(tx, self._registry, table, gone) if gone else frozenset()
        for key, (total, seen) in mending.items():
            if seen is None and key not in known:
                continue
            try:
                done += mend(tx, self._registry, run, table, key, total, seen)
            except (Unavailable, PyMongoError):
                raise
            except Exception as error:
                raise NotMended(key, error) from error
        return done

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

    def _strays(self, tx: Records, fold: Fold, table: str, ids: Sequence[Any]) -> list[Any]:
        """Of these documents, those to which no event leads now either."""
        is_row = table == fold.history
        keys = {
            id_: tx.history(table).key_of({"_id": id_}) if is_row else id_
            for id_ in ids
            if isinstance(id_, str)
        }
        led = led_to(tx, self._registry, fold, set(keys.values())) if keys else set()
        return [id_ for id_ in ids if keys.get(id_) not in led]


def _unexpected(findings: Iterable[Finding], table: str) -> list[Any]:
    """Ids of documents of a table that were found and should not be there."""
    return [
        one.id
        for one in findings
        if isinstance(one, Difference) and one.table == table and one.kind is Kind.UNEXPECTED
    ]


def not_repaired(what: str, id_: str, error: Exception) -> Unknown:
    """That something could not be put right."""
    return Unknown(what, id_, f"could not be put right: {type(error).__name__}: {error}"[:1000])


def _events_of(tx: Records, *, tenant: str, entity_id: str) -> Mapping[str, EventRecord]:
    return tx.events.with_payloads(tx.events.of_entity(tenant, entity_id))
