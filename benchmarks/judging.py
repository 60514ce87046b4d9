"""What a run of known events came to: tables against a sequential run, ledger against registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline import Event
from pipeline.declarations import Fold
from pipeline.registry import Registry
from pipeline.replay import Audit, Differences, audit, compare, replay
from pipeline.store import Store
from pipeline.tables import Document


@dataclass(slots=True)
class Verdict:
    """How the tables differ, what is wrong with the ledger, and how much came late."""

    differences: Differences
    audit: Audit
    late: int
    healed: int

    @property
    def wrong_documents(self) -> int:
        """Documents that are missing, too many or different."""
        tables = self.differences.tables.values()
        return sum(table.missing + table.unexpected + table.different for table in tables)

    @property
    def wrong_rows(self) -> int:
        """Ledger rows that are missing, too many or without their effect."""
        found = self.audit
        kinds = found.lost, found.doubled, found.unexpected, found.unfinished
        return sum(kind.count for kind in kinds)

    def details(self) -> list[str]:
        """The first of what is wrong."""
        found = [] if self.differences.equal else str(self.differences).splitlines()
        return found if self.audit.clean else found + str(self.audit).splitlines()


def judge(store: Store, registry: Registry, lines: Sequence[bytes]) -> Verdict:
    """Compare tables and ledger with a sequential run of these events, in their true order."""
    expected = replay(registry, parsed(lines))
    stored = _Stored(store, registry)
    failures = [(failure.event, failure.handler) for failure in expected.failures]
    checked = audit(registry, parsed(lines), stored.rows(), failures)
    tables = {name: stored.documents(name) for name in registry.tables()}
    return Verdict(compare(expected, tables), checked, stored.late, stored.healed)


class _Stored:
    """What is stored, counted as it is read: the ledger first, then the tables."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        folds = [handler for handler in registry if isinstance(handler, Fold)]
        self._folds = {fold.name for fold in folds}
        self._histories = {fold.history for fold in folds}
        self._applied: dict[str, datetime] = {}
        self.late = self.healed = 0

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """The ledger's rows, as the audit wants them."""
        for row in self._store.records.ledger.scan():
            self.late += row.late_ms is not None
            if row.handler in self._folds:
                self._applied[row.event] = row.write_at
            yield row.event, row.handler, row.state.value

    def documents(self, table: str) -> Iterator[Document]:
        """A table's documents; a row written after its event was applied has been healed."""
        for document in self._store.scan(table):
            if table in self._histories:
                applied = self._applied.get(document["event"])
                self.healed += applied is not None and document["_sync"]["write_at"] > applied
            yield document


def parsed(lines: Sequence[bytes]) -> Iterator[Event]:
    """The events of these lines, one at a time."""
    return map(Event.model_validate_json, lines)
