"""The kinds of work that a verification is split into, a step of each.

All of them read as of the verification's moment, so that what they find fits together,
however much is written meanwhile. A step ends soon, so that a worker can turn to live work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.declarations import Commutative, Fold, Observer
from pipeline.event import Event
from pipeline.registry import Registry
from pipeline.replay import Difference, Kind
from pipeline.slots import Part
from pipeline.store import EventRecord, Records
from pipeline.store.events import Entity
from pipeline.store.verifications import Unit
from pipeline.tables import Document
from pipeline.verification.checking import Checked, check
from pipeline.verification.findings import Finding, Unknown
from pipeline.verification.stored import of_entities, read
from pipeline.verification.sums import Sum, Sums

STEP_EVENTS: Final = 500
"""Events of a step; about 50 ms of a worker's time."""
STEP_DOCUMENTS: Final = 500
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

    after: Any
    done: bool
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    sums: Sums = field(default_factory=Sums)
    wrong: set[str] = field(default_factory=set)
    mending: dict[str, tuple[Sum, Document | None]] = field(default_factory=dict)

    def tally(self) -> dict[str, int]:
        """The counts, those of the findings among them."""
        found = Counter(
            "unknown" if isinstance(one, Unknown) else f"{WRONG}{one.table}"
            for one in self.findings
        )
        return dict(self.counts + found)


def entities(records: Records, registry: Registry, unit: Unit) -> Step:
    """Some more entities of a part: their documents, rows, and ledger."""
    after = None if unit.after is None else Entity(*unit.after)
    found, last = records.events.of_slots(Part.parse(unit.about).slots, after, STEP_EVENTS)
    actions = of_entities(registry)
    checked = check(registry, read(records, registry, found, actions), actions)
    return _step(checked, after=last and list(last), done=last is None)


def shared(records: Records, registry: Registry, unit: Unit) -> Step:
    """A fold whose documents are made of several entities' events: all of it at once."""
    fold = registry.handler(unit.about)
    if not isinstance(fold, Fold):
        raise TypeError(f"{unit.about} is no fold")
    found = events_of_fold(records, registry, fold)
    if len(found) > MOST_IN_ONE:
        why = f"its documents are made of more than {MOST_IN_ONE:,} events of many entities"
        return Step(None, done=True, findings=[Unknown(fold.table, "all", why)])
    stored = read(records, registry, found, [fold])
    step = _step(check(registry, stored, [fold]), after=None, done=True)
    known = set(stored.keys[fold.name].values())
    step.findings += _strays(records, fold, known.__contains__)
    return step


def events_of_fold(records: Records, registry: Registry, fold: Fold) -> dict[str, EventRecord]:
    """The events that go to a fold, up to one more than can be looked at together."""
    return records.events.matching(
        lambda kind: fold in registry.actions_for(kind), limit=MOST_IN_ONE + 1
    )


def _step(checked: Checked, *, after: Any, done: bool) -> Step:
    counts = Counter(events=checked.events, waiting=checked.waiting)
    for table, number in checked.present.items():
        counts[f"{PRESENT}{table}"] += number
        counts["documents"] += number
    return Step(after, done, checked.findings, counts, checked.sums, checked.wrong)


def derived(
    records: Records, sums: Sequence[tuple[str, Sum]], unit: Unit, *, sums_end: bool
) -> Step:
    """Some more documents of a derived table, against what was added up for them."""
    table = records.table(unit.about)
    documents = {doc["_id"]: doc for doc in table.page(unit.after, STEP_DOCUMENTS)}
    documents_end = len(documents) < STEP_DOCUMENTS
    ends = [] if sums_end else [sums[-1][0]]
    ends += [] if documents_end else [max(documents)]
    upto = min(ends, default=None)
    step = Step(upto, done=upto is None)
    if unit.after is None:
        step.findings += _odd(records, unit.about)
    totals = dict(sums)
    for key in sorted({*totals, *documents}):
        if upto is None or key <= upto:
            found = list(totals.get(key, Sum()).findings(unit.about, key, documents.get(key)))
            step.findings += found
            step.counts["documents"] += key in documents
            if any(isinstance(finding, Difference) for finding in found):
                step.mending[key] = totals.get(key, Sum()), documents.get(key)
    return step


def strays(records: Records, registry: Registry, unit: Unit, present: Mapping[str, int]) -> Step:
    """Documents and rows of a fold that no event leads to.

    Those of known entities have been met with their events; so where as many were met as
    there are, there are no others.
    """
    fold = registry.handler(unit.about)
    if not isinstance(fold, Fold):
        raise TypeError(f"{unit.about} is no fold")
    step = Step(None, done=True)
    tables = (fold.table, fold.history)
    if any(records.table(name).count() != present.get(f"{PRESENT}{name}", 0) for name in tables):
        step.findings += _strays(records, fold, lambda key: leads_to(records, registry, fold, key))
    return step


def _strays(records: Records, fold: Fold, known: Callable[[str], bool]) -> list[Finding]:
    found: list[Finding] = []
    for table in (fold.table, fold.history):
        found += _odd(records, table)
        after: str | None = None
        while page := records.table(table).page(after, STEP_DOCUMENTS):
            after = page[-1]["_id"]
            is_row = table == fold.history
            keys = [records.history(table).key_of(doc) if is_row else doc["_id"] for doc in page]
            unknown = {key for key in set(keys) if not known(key)}
            found += [
                Difference(table, doc["_id"], Kind.UNEXPECTED)
                for doc, key in zip(page, keys, strict=True)
                if key in unknown
            ]
    return found


def leads_to(records: Records, registry: Registry, fold: Fold, key: str) -> bool:
    """Whether some event of the entity that the key names is for this document."""
    entity = fold.key.entity_of(key)
    if entity is None:
        return False
    events = [record.event for record in records.events.of_entity(*entity).values()]
    return any(
        _is_for(event, fold, key) for event in events if fold in registry.actions_for(event.type)
    )


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
