"""Documents that updates add up to, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from pipeline.tables import Document
from pipeline.updates import Update
from pipeline.updates.inplace import Steps, apply_in_place, apply_quickly, operators_of


class DerivedTable:
    """The documents of a table that observers or commutative actions add to."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._operators: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._documents)

    def entries(self) -> Iterator[tuple[str, Document]]:
        """Every document, with what `find` knows it by."""
        return iter(self._documents.items())

    def find(self, document_id: str) -> tuple[str, Document] | None:
        """The document of this id."""
        document = self._documents.get(document_id)
        return None if document is None else (document_id, document)

    def operators(self, path: str) -> set[str]:
        """By which operators this field came into documents, as far as it did."""
        return self._operators.get(path, set())

    def add_quickly(self, key: str, update: Update, steps: Steps, at: datetime) -> bool:
        """Add a contribution as `add` does, if there is such a document and it is simple.

        Returns:
            Whether it was; see `apply_quickly`. Otherwise nothing has changed.
        """
        document = self._documents.get(key)
        if document is None or not apply_quickly(update, steps, document):
            return False
        _stamp(document, at)
        return True

    def add(self, key: str, update: Update, at: datetime, made_with: Callable[[], Update]) -> None:
        """Add a contribution whose event is no earlier than that of the one before.

        Args:
            key: the document's id.
            update: the contribution.
            at: its event's time.
            made_with: gives what a new document gets beside it.

        Raises:
            UpdateError: the document can't take it, and is as it was.
        """
        document = self._documents.get(key)
        if document is None:
            document = {"_id": key, "_sync": {"contributions": 0}}
            update |= made_with()
            apply_in_place(update, document, new=True)
            self._documents[key] = document
            self._note(update)
        elif apply_in_place(update, document):
            self._note(update)
        _stamp(document, at)

    def _note(self, update: Update) -> None:
        for path, operator in operators_of(update):
            self._operators.setdefault(path, set()).add(operator)


def _stamp(document: Document, at: datetime) -> None:
    sync = document["_sync"]
    sync["contributions"] += 1
    sync["event_at"] = at
