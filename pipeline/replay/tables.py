"""What a sequential run leaves: every table, and what failed on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from pipeline.declarations import Fold, Writer
from pipeline.registry import Registry
from pipeline.replay.derived import DerivedTable
from pipeline.replay.folded import Chains, HistoryTable, StateTable
from pipeline.tables import Document


class Failure(NamedTuple):
    """An event that a handler could not be run on; it had no effect, nor had what follows.

    Attributes:
        event: event key.
        handler: the handler's name.
        error: type and message of what was raised.
    """

    event: str
    handler: str
    error: str


class Contents(Protocol):
    """The documents of one table.

    They share their inside with the table, so they are to be read and not to be changed.
    """

    @property
    def operators(self) -> Callable[[str], set[str]] | None:
        """By which operators a field came into derived documents; None for those of folds."""
        ...

    def __len__(self) -> int:
        """How many documents there are."""
        ...

    def entries(self) -> Iterator[tuple[str, Document]]:
        """Every document, with a short name that no other document of the table has."""
        ...

    def find(self, document_id: str) -> tuple[str, Document] | None:
        """The document of this id, with its short name."""
        ...


class Tables(Mapping[str, Contents]):
    """All tables of a registry by name, as the sequential run left them.

    Attributes:
        failures: what could not be run, in the order of the events.
        events: how many events were run.
        repeated: how many came again under a key that had been there, and were dropped.
    """

    def __init__(self, registry: Registry) -> None:
        self.failures: list[Failure] = []
        self.events = 0
        self.repeated = 0
        self.chains: dict[str, Chains] = {}
        self.derived: dict[str, DerivedTable] = {}
        self._contents: dict[str, Contents] = {}
        for handler in registry:
            if isinstance(handler, Fold):
                chains = self.chains[handler.table] = {}
                self._contents[handler.table] = StateTable(chains)
                self._contents[handler.history] = HistoryTable(chains)
            elif isinstance(handler, Writer) and handler.table not in self.derived:
                self._contents[handler.table] = self.derived.setdefault(
                    handler.table, DerivedTable()
                )

    def __getitem__(self, table: str) -> Contents:
        return self._contents[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents)

    def __len__(self) -> int:
        return len(self._contents)

    def documents(self, table: str) -> dict[str, Document]:
        """All documents of a table by `_id`; for tables that fit into a dict."""
        return {document["_id"]: document for _, document in self[table].entries()}
