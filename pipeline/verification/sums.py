"""What the ledger says that was added to derived documents, added up again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from pipeline.replay import Difference, Kind, added_up
from pipeline.tables import Document
from pipeline.updates import Update, set_on_insert
from pipeline.updates.inplace import operators_of
from pipeline.updates.ordering import same
from pipeline.verification.findings import Finding, Unknown

CREATED_IN_WAYS: Final = 20
"""Different values that a field may have been created with, and be right with each."""


@dataclass(slots=True)
class Sum:
    """What one derived document should be.

    Attributes:
        total: all that was added, but for what it was created with.
        contributions: how many.
        created: by path, the values that one or the other contribution would create it with;
            which was the first to arrive is not known.
        latest: the latest event that counts.
        named: whether the fields are known that the document's id is made of.
    """

    total: Update = field(default_factory=Update.nothing)
    contributions: int = 0
    created: dict[str, list[Any]] = field(default_factory=dict)
    latest: datetime | None = None
    named: bool = False

    def add(self, wrote: Update, identity: Mapping[str, Any] | None, at: datetime | None) -> None:
        """Count one more contribution.

        Args:
            wrote: what it adds.
            identity: what the document's id is made of; None where that is not known.
            at: the time of its event; None where nobody asks.
        """
        made_with = wrote.paths_of("set_on_insert")
        self.total |= wrote.only(wrote.paths - made_with) if made_with else wrote
        self.contributions += 1
        if at is not None:
            self.latest = max(self.latest or at, at)
        if made_with:
            self._create(wrote.values_of("set_on_insert"))
        if identity is not None and not self.named:
            self.named = True
            self._create(set_on_insert(identity).values_of("set_on_insert"))

    def merge(self, other: Sum) -> Self:
        """Count what another one counts."""
        self.total |= other.total
        self.contributions += other.contributions
        self.named |= other.named
        if other.latest is not None:
            self.latest = max(self.latest or other.latest, other.latest)
        for path, values in other.created.items():
            for value in values:
                self._create({path: value})
        return self

    def _create(self, values: Mapping[str, Any]) -> None:
        for path, value in values.items():
            known = self.created.setdefault(path, [])
            if len(known) < CREATED_IN_WAYS and not any(same(value, one) for one in known):
                known.append(value)

    def creating(self) -> Update:
        """The update that makes the document of nothing."""
        return self.total | set_on_insert({path: vs[0] for path, vs in self.created.items()})

    def document(self, key: str, actual: Document | None) -> Document:
        """The document as it should be; created as the actual one was, if that may be."""
        created = {
            path: next((v for v in values if actual and _has(actual, path, v)), values[0])
            for path, values in self.created.items()
        }
        made: Document = (self.total | set_on_insert(created)).apply(None)
        return {"_id": key, **made, "_sync": {"contributions": self.contributions}}

    def findings(self, table: str, key: str, actual: Document | None) -> Iterator[Finding]:
        """In what the document differs from what it should be."""
        if self.contributions and not self.named:
            yield Unknown(table, key, "no handler can be run again on any of its contributions")
            return
        if actual is None:
            if self.contributions:
                yield Difference(table, key, Kind.MISSING, expected=self.document(key, None))
            return
        if not self.contributions:
            yield Difference(table, key, Kind.UNEXPECTED)
            return
        operators = dict(operators_of(self.total))
        rules = added_up(lambda path: {operators[path]} if path in operators else set())
        for path, one, other in rules.unlike(self.document(key, actual), actual):
            yield Difference(table, key, Kind.DIFFERENT, path, one, other)

    def stored(self) -> Document:
        """The sum as a document's fields."""
        return {
            "total": self.total.to_stored(),
            "contributions": self.contributions,
            "created": [[path, values] for path, values in self.created.items()],
            "latest": self.latest,
            "named": self.named,
        }

    @classmethod
    def from_stored(cls, fields: Mapping[str, Any]) -> Self:
        """The sum that `stored` wrote."""
        return cls(
            Update.from_stored(fields["total"]),
            fields["contributions"],
            {path: list(values) for path, values in fields["created"]},
            fields["latest"],
            fields["named"],
        )


class Sums:
    """Sums by table and key."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Sum]] = {}

    def add(
        self,
        table: str,
        key: str,
        wrote: Update,
        identity: Mapping[str, Any] | None,
        at: datetime | None,
    ) -> None:
        """Count one more contribution to a document."""
        documents = self.tables.setdefault(table, {})
        if key not in documents:
            documents[key] = Sum()
        documents[key].add(wrote, identity, at)

    def merge(self, other: Sums) -> None:
        """Count what others count."""
        for table, sums in other.tables.items():
            documents = self.tables.setdefault(table, {})
            for key, one in sums.items():
                documents[key] = documents[key].merge(one) if key in documents else one


def _has(document: Mapping[str, Any], path: str, value: Any) -> bool:
    there: Any = document
    for segment in path.split("."):
        there = there.get(segment) if isinstance(there, dict) else None
    return same(there, value)
