"""Tables in memory, for replay, dry runs and users' tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pipeline.errors import UpdateError
from pipeline.tables import Document, as_stored, check_keys
from pipeline.updates import Update
from pipeline.updates.values import copied


class MemoryTable:
    """A `Table` in a dict; what it holds is what MongoDB would hold.

    Not for use from several threads at once.
    """

    def __init__(self, name: str, documents: Iterable[Document] = ()) -> None:
        self._name = name
        self._documents: dict[str, Document] = {}
        self.replace(list(documents))

    @property
    def name(self) -> str:
        """The table's name."""
        return self._name

    def get(self, keys: Collection[str]) -> dict[str, Document]:
        """Copies of the documents under these keys."""
        held = self._documents
        return {key: copied(held[key]) for key in keys if key in held}

    def replace(self, documents: Sequence[Document]) -> None:
        """Keep copies of the documents, in the form MongoDB would give them."""
        check_keys(documents)
        for document in documents:
            self._documents[document["_id"]] = as_stored(document)

    def apply(self, updates: Mapping[str, Update]) -> None:
        """Apply each update; those that can't be applied are named after the others are."""
        refused: list[str] = []
        for key, update in updates.items():
            if not update:
                continue
            try:
                after = update.apply(self._documents.get(key))
            except UpdateError as error:
                refused.append(f"{key!r}: {error}")
            else:
                self._documents[key] = {"_id": key, **after}
        if refused:
            raise UpdateError(
                f"{self.name}: {len(refused)} of the documents can't take their update, "
                f"first {refused[0]}"
            )

    def contents(self) -> dict[str, Document]:
        """Copies of all documents by `_id`, in the order they came."""
        return {key: copied(document) for key, document in self._documents.items()}
