"""The kinds of work that a verification is split into, a step of each.

All of them read as of the verification's moment, so that what they find fits together,
however much is written meanwhile. A step ends soon, so that a worker can turn to live work.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final

from pymongo.errors import PyMongoError

from pipeline.declarations import Commutative, Fold, Observer
from pipeline.event import Event
from pipeline.registry import Registry
from pipeline.replay import Difference, Kind
from pipeline.slots import Part
from pipeline.store import EventRecord, LedgerRow, Records
from pipeline.store.events import Entity
from pipeline.store.verifications import Unit
from pipeline.tables import Document
from pipeline.verification.checking import Checked, check, undeclared
from pipeline.verification.findings import Finding, Unknown
from pipeline.verification.stored import of_entities, read
from pipeline.verification.sums import Sum, Sums

PAGE_DOCUMENTS: Final = 500
MOST_IN_ONE: Final = 500_000
"""Events of a fold that can't be split by entity, which are looked at all together."""
ODD: Final = 100
ENTITIES: Final = "entities"
SHARED: Final = "shared"
DERIVED: Final = "derived"
STRAYS: Final = "strays"
PRESENT: Final = "present:"
"""Before a table's name: the count of what was met of it."""
WRONG: Final = "wrong:"
"""Before a table's name: the count of what is wrong in it."""
UNREAD: Final = "unread"
"""The count of what could not be added up, since it could not be read."""
UNDECLARED: Final = "undeclared"
"""The count of rows whose handlers are gone, so that nobody knows which tables they wrote to."""


@dataclass(slots=True)
class Step:
    """What one step came to.

    Attributes:
        after: how far the unit has come with it.
        done: whether nothing is left of the unit.
        findings: what is wrong, or can't be told.
        counts: what was looked at.
        sums: what was added up on the way.
        wrong: events of the entities that a repair would put right.
        mending: by id, derived documents that a repair would put right, with what they should
            be and what they are.
    """

    after: Any = None
    done: bool = True
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    sums: Sums = field(default_factory=Sums)
    wrong: set[str] = field(default_factory=set)
    mending: dict[str, tuple[Sum, Document | None]] = field(default_factory=dict)

    def add(self, other: Step) -> None:
        """Count what a step of other entities of the same unit came to."""
        self.findings += other.findings
        self.counts += other.counts
        self.sums.merge(other.sums)
        self.wrong |= other.wrong

    def tally(self) -> dict[str, int]:
        """The counts, those of the findings among them."""
        found = Counter(
            "unknown" if isinstance(one, Unknown) else f"{WRONG}{one.table}"
            for one in self.findings
        )
        return dict(self.counts + found)


def entities(records: Records, registry: Registry, unit: Unit, size: int) -> Step:
    """Some more entities of a part, of about so many events: documents, rows, and ledger."""
    after = None if unit.after is None else Entity(*unit.after)
    some, last = records.events.of_slots(Part.parse(unit.about).slots, after, size)
    found = records.events.with_payloads(some)
    try:
        step = _entities(records, registry, found)
    except PyMongoError:
        raise
    except Exception:  # noqa: BLE001 - something is stored that can't be read; of whom?
        step = _one_by_one(records, registry, found)
    step.after, step.done = last and list(last), last is None
    return step


def _entities(records: Records, registry: Registry, found: Mapping[str, EventRecord]) -> Step:
    actions = of_entities(registry)
    stored = read(records, registry, found, actions)
    checked = check(registry, stored, actions)
    gone = list(undeclared(registry, stored))
    checked.findings += gone
    step = _step(checked)
    step.counts[UNDECLARED] = len(gone)
    return step


def _one_by_one(records: Records, registry: Registry, found: Mapping[str, EventRecord]) -> Step:
    """Each entity by itself, so that nothing can be told only of those that can't be read."""
    step = Step()
    by_entity: dict[tuple[str, str], dict[str, EventRecord]] = defaultdict(dict)
    for key, record in found.items():
        by_entity[record.event.tenant, record.event.entity_id][key] = record
    for (tenant, entity_id), events in by_entity.items():
        try:
            step.add(_entities(records, registry, events))
        except PyMongoError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            step.findings.append(cannot_tell("entities", f"{tenant}:{entity_id}", error))
            step.counts[UNREAD] += 1
    return step


def cannot_tell(what: str, id_: str, error: Exception) -> Unknown:
    """That nothing can be told of what made a check fail."""
    return Unknown(what, id_, f"the check itself failed: {type(error).__name__}: {error}"[:1000])


def shared(records: Records, registry: Registry, unit: Unit) -> Step:
    """A fold whose documents are made of several entities' events: all of it at once."""
    fold = registry.handler(unit.about)
    if not isinstance(fold, Fold):
        raise TypeError(f"{unit.about} is no fold")
    found = events_of_fold(records, registry, fold)
    if len(found) >= MOST_IN_ONE:
        why = f"its documents are made of {MOST_IN_ONE:,} or more events of many entities"
        return Step(findings=[Unknown(fold.table, "all", why)], counts=Counter({UNREAD: 1}))
    stored = read(records, registry, found, [fold])
    step = _step(check(registry, stored, [fold]))
    known = {*stored.keys[fold.name].values(), *stored.astray[fold.name]}
    step.findings += _strays(records, fold, lambda keys: keys & known)
    return step


def events_of_fold(records: Records, registry: Registry, fold: Fold) -> dict[str, EventRecord]:
    """The events that go to a fold, and those that went; up to the most that can be looked at."""
    found = records.events.matching(lambda kind: fold in registry.actions_for(kind), MOST_IN_ONE)
    went = (event for event in records.ledger.done_by(fold.name) if event not in found)
    found |= records.events.load(list(islice(went, MOST_IN_ONE - len(found))))
    return records.events.with_payloads(found)


def _step(checked: Checked) -> Step:
    counts = Counter(events=checked.events, waiting=checked.waiting)
    for table, number in checked.present.items():
        counts[f"{PRESENT}{table}"] += number
        counts["documents"] += number
    return Step(findings=checked.findings, counts=counts, sums=checked.sums, wrong=checked.wrong)


def derived(
    records: Records,
    registry: Registry,
    unit: Unit,
    sums: Sequence[tuple[str, Sum]],
    *,
    sums_end: bool,
    before: Mapping[str, int],
    size: int,
) -> Step:
    """Some more documents of a derived table, against what was added up for them.

    Args:
        records: as of the moment at which all was added up.
        registry: the handlers.
        unit: about a table.
        sums: the next ones.
        sums_end: whether there are no more of them.
        before: the counts of the units that added up.
        size: most documents.
    """
    table = records.table(unit.about)
    documents = {doc["_id"]: doc for doc in table.page(unit.after, size)}
    documents_end = len(documents) < size
    ends = [] if sums_end else [sums[-1][0]]
    ends += [] if documents_end else [max(documents)]
    upto = min(ends, default=None)
    step = Step(upto, done=upto is None)
    if unit.after is None:
        step.findings += _odd(records, unit.about)
    totals = dict(sums)
    keys = [key for key in sorted({*totals, *documents}) if upto is None or key <= upto]
    step.counts["documents"] = len(documents.keys() & keys)
    wrong: dict[str, list[Finding]] = {}
    for key in keys:
        total, document = totals.get(key, Sum()), documents.get(key)
        found = list(total.findings(unit.about, key, document))
        if any(isinstance(finding, Difference) for finding in found):
            wrong[key] = found
            step.mending[key] = total, document
        else:
            step.findings += found
    doubts = _doubts(records, registry, wrong, before) if wrong else {}
    for key, found in wrong.items():
        if key in doubts:
            del step.mending[key]
            step.findings.append(Unknown(unit.about, key, doubts[key]))
        else:
            step.findings += found
    return step


def _doubts(
    records: Records, registry: Registry, keys: Collection[str], before: Mapping[str, int]
) -> dict[str, str]:
    """By document, why contributions to it may not have been added up."""
    if before.get(UNREAD):
        return dict.fromkeys(keys, "it differs, but something that may count in it can't be read")
    if before.get(UNDECLARED):
        return written_by_others(registry, records.ledger.written_to(keys))
    return {}


def written_by_others(registry: Registry, rows: Iterable[LedgerRow]) -> dict[str, str]:
    """By document's id, in any table, why it may count what was not added up."""
    known = {handler.name for handler in registry}
    return {
        row.key: f"it differs, but {row.handler}, which is gone, has written to one of this name"
        for row in rows
        if row.key is not None and row.handler not in known
    }


def strays(records: Records, registry: Registry, unit: Unit, present: Mapping[str, int]) -> Step:
    """Documents and rows of a fold that no event leads to.

    Those of known entities have been met with their events; so where as many were met as
    there are, there are no others.
    """
    fold = registry.handler(unit.about)
    if not isinstance(fold, Fold):
        raise TypeError(f"{unit.about} is no fold")
    step = Step()
    tables = (fold.table, fold.history)
    if any(records.table(name).count() != present.get(f"{PRESENT}{name}", 0) for name in tables):
        step.findings += _strays(records, fold, partial(led_to, records, registry, fold))
    return step


def _strays(records: Records, fold: Fold, led: Callable[[set[str]], set[str]]) -> list[Finding]:
    found: list[Finding] = []
    for table in (fold.table, fold.history):
        found += _odd(records, table)
        after: str | None = None
        while page := records.table(table).page(after, PAGE_DOCUMENTS):
            after = page[-1]["_id"]
            is_row = table == fold.history
            keys = [records.history(table).key_of(doc) if is_row else doc["_id"] for doc in page]
            unknown = set(keys) - led(set(keys))
            found += [
                Difference(table, doc["_id"], Kind.UNEXPECTED)
                for doc, key in zip(page, keys, strict=True)
                if key in unknown
            ]
    return found


def led_to(records: Records, registry: Registry, fold: Fold, keys: Collection[str]) -> set[str]:
    """The documents of a fold, of these, that some event is for, or was."""
    if not fold.key.of_one_entity:
        rows = records.ledger.written_to(keys)
        return {row.key or "" for row in rows if row.handler == fold.name and row.has_effect}
    return {key for key in keys if _is_led_to(records, registry, fold, key)}


def _is_led_to(records: Records, registry: Registry, fold: Fold, key: str) -> bool:
    entity = fold.key.entity_of(key)
    if entity is None:
        return False
    found = records.events.with_payloads(records.events.of_entity(*entity))
    events = [record.event for record in found.values()]
    if any(_is_for(e, fold, key) for e in events if fold in registry.actions_for(e.type)):
        return True
    rows = records.ledger.of_events([event.key for event in events])
    return any(row.handler == fold.name and row.key == key and row.has_effect for row in rows)


def _is_for(event: Event, fold: Fold, key: str) -> bool:
    try:
        return fold.key(event) == key
    except Exception:  # noqa: BLE001 - an event without a key is for no document
        return False


def _odd(records: Records, table: str) -> Iterable[Finding]:
    odd = records.table(table).oddly_named(ODD)
    return [Difference(table, id_, Kind.UNEXPECTED) for id_ in odd]


def derived_tables(registry: Registry) -> list[str]:
    """Tables that contributions add up to."""
    return sorted({h.table for h in registry if isinstance(h, Observer | Commutative)})


def shared_folds(registry: Registry) -> list[Fold]:
    """The folds whose documents are made of several entities' events."""
    return [h for h in registry if isinstance(h, Fold) and not h.key.of_one_entity]
