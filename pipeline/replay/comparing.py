"""Holding the tables of a sequential run against those of a live one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pipeline.replay.tables import Contents, Tables
from pipeline.replay.values import ABSENT, Rules
from pipeline.tables import Document

KEPT: Final = 20
"""Differences of a table that are kept to be shown, unless told otherwise."""


class Kind(StrEnum):
    """In which way a document is not as it should be."""

    MISSING = "missing"
    """It should be there."""
    UNEXPECTED = "unexpected"
    """It should not be there, or not twice."""
    DIFFERENT = "different"
    """One of its fields has another value."""


class Difference(NamedTuple):
    """One thing that is not as it should be.

    Attributes:
        table: the table's name.
        id: the document's.
        kind: in which way.
        path: the field, dotted; empty where it is the whole document.
        expected: what should be there; `ABSENT` for nothing.
        actual: what is there; `ABSENT` for nothing.
    """

    table: str
    id: Any
    kind: Kind
    path: str = ""
    expected: Any = ABSENT
    actual: Any = ABSENT

    def __str__(self) -> str:
        where = f"{self.table}[{self.id}]"
        if self.kind is not Kind.DIFFERENT:
            return f"{where} is {self.kind.value}"
        return f"{where}.{self.path} is {self.actual!r:.80}, should be {self.expected!r:.80}"


@dataclass(slots=True)
class TableDifferences:
    """How a live table differs from what it should be.

    Attributes:
        expected: documents there should be.
        actual: documents there are.
        missing: documents that should be there and are not.
        unexpected: documents that should not be there, or not twice.
        different: documents that differ in some field.
        fields: fields that differ, of all documents.
        first: some of what was found, for people.
    """

    expected: int
    actual: int = 0
    missing: int = 0
    unexpected: int = 0
    different: int = 0
    fields: int = 0
    first: list[Difference] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether there is no difference."""
        return not (self.missing or self.unexpected or self.different)


@dataclass(frozen=True, slots=True)
class Differences:
    """How a live run's tables differ from what they should be, by table."""

    tables: dict[str, TableDifferences]

    @property
    def equal(self) -> bool:
        """Whether there is no difference in any table."""
        return all(table.equal for table in self.tables.values())

    @property
    def first(self) -> list[Difference]:
        """Some of what was found, for people."""
        return [difference for table in self.tables.values() for difference in table.first]

    def __str__(self) -> str:
        """One line for each table, and the first differences below it."""
        lines = []
        for name, table in self.tables.items():
            lines.append(
                f"{name}: {table.actual:,} of {table.expected:,} documents; {table.missing:,} "
                f"missing, {table.unexpected:,} unexpected, {table.different:,} different"
            )
            lines += [f"  {difference}" for difference in table.first]
        return "\n".join(lines)


def compare(
    expected: Tables, actual: Mapping[str, Iterable[Document]], *, keep: int = KEPT
) -> Differences:
    """Compare every table, field by field.

    The live documents are looked at one by one and not kept. A table that is not among them
    is an empty one, and all documents of a table that no handler writes are unexpected.

    What two right runs may differ in is no difference, and nothing else is left out:

    - `_sync.read_at`, `_sync.write_at` and `_sync.fence` tell of the live run itself, and
      `_sync.numbers` of what had come by then.
    - `_sync.event_at` of a derived document tells the latest event that ever reached it. A
      late event can move that one's contribution to another document; it has been there all
      the same (decision 3).
    - A counter of a derived document at zero equals one that is absent: what a late event
      takes back leaves zero behind (decision 3). A counter is what no operator but `inc` has
      brought into this table here. That leaves names this run never made, since a live run
      may count on one and take it back. Other zeros are values: a maximum, a field of a fold.
    - The items of a `$addToSet` stand in the order in which events arrived.
    - 1 and 1.0 are equal in derived documents. `$max`, `$min` and `$addToSet` keep the first
      of two that MongoDB holds equal, so arrival chooses the type; and a sum that a Decimal
      was added to and taken from again stays a Decimal. A fold's documents and rows are
      written whole from what the handler returned, so there the type of a number counts.
    - Keys of a document stand in the order in which they were first written, in derived ones
      by arrival; and a refold stops at a row that comes out with the same fields, whose order
      says nothing there.

    Args:
        expected: from `replay`.
        actual: by table, the documents as they are in MongoDB.
        keep: how many differences of each table are kept; all are counted.
    """
    names = list(dict.fromkeys([*expected, *actual]))
    return Differences({n: _table(n, expected.get(n), actual.get(n, ()), keep) for n in names})


def _table(
    name: str, expected: Contents | None, documents: Iterable[Document], keep: int
) -> TableDifferences:
    found = TableDifferences(expected=len(expected) if expected is not None else 0)
    rules = Rules.of(expected) if expected is not None else None
    seen: set[str] = set()

    def note(difference: Difference) -> None:
        if len(found.first) < keep:
            found.first.append(difference)

    for document in documents:
        found.actual += 1
        known = expected.find(document["_id"]) if expected is not None else None
        if known is None or known[0] in seen or rules is None:
            found.unexpected += 1
            note(Difference(name, document["_id"], Kind.UNEXPECTED))
            continue
        seen.add(known[0])
        unlike = list(rules.unlike(known[1], document))
        found.fields += len(unlike)
        found.different += bool(unlike)
        for path, one, other in unlike:
            note(Difference(name, document["_id"], Kind.DIFFERENT, path, one, other))
    found.missing = found.expected - len(seen)
    if expected is not None and found.missing:
        for token, document in expected.entries():
            if len(found.first) >= keep:
                break
            if token not in seen:
                note(Difference(name, document["_id"], Kind.MISSING))
    return found
