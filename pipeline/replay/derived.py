"""Documents that updates add up to, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pipeline.tables import Document
from pipeline.updates import Update
from pipeline.updates.inplace import apply_in_place, operators_of


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

    def get(self, key: str) -> Document | None:
        """The document itself, to be given to `change`."""
        return self._documents.get(key)

    def create(self, key: str, update: Update, at: datetime) -> Document:
        """Make a document of its first contribution, and of what it is made with.

        Raises:
            UpdateError: no document can be made of it.
        """
        document: Document = {"_id": key, "_sync": {"contributions": 0}}
        apply_in_place(update, document, new=True)
        self._documents[key] = document
        self._note(update)
        _stamp(document, at)
        return document

    def change(self, document: Document, update: Update, at: datetime) -> None:
        """Add a contribution whose event is no earlier than that of the one before.

        Raises:
            UpdateError: the document can't take it, and is as it was.
        """
        if apply_in_place(update, document):
            self._note(update)
        _stamp(document, at)

    def _note(self, update: Update) -> None:
        for path, operator in operators_of(update):
            self._operators.setdefault(path, set()).add(operator)


def _stamp(document: Document, at: datetime) -> None:
    sync = document["_sync"]
    sync["contributions"] += 1
    sync["event_at"] = at
