"""Tables of documents: the contract that MongoDB and memory both keep.

A table is the only way a handler's effect reaches storage. `MongoTable` in `pipeline.store`
is the real one, `pipeline.memory.MemoryTable` means the same in a dict; one suite of cases
holds them together.
"""

from __future__ import annotations

from collections.abc import Collection as Keys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import bson
from bson.codec_options import CodecOptions, TypeRegistry
from bson.decimal128 import DecimalDecoder, DecimalEncoder

from pipeline.updates import Update

Document = dict[str, Any]

CODEC: Final[CodecOptions[Document]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    type_registry=TypeRegistry([DecimalEncoder(), DecimalDecoder()]),
)
"""Moments come back aware and in UTC; Decimal goes in and comes out as Decimal128."""


class Table(Protocol):
    """Documents by `_id`.

    No call is atomic over several documents by itself; a session with a transaction makes it
    so, and then any error ends the transaction.
    """

    @property
    def name(self) -> str:
        """The table's name, as handlers declare it."""
        ...

    def get(self, keys: Keys[str]) -> dict[str, Document]:
        """Read documents by `_id`.

        Matches: the documents whose `_id` is among the keys; a missing one is absent from
        the result. Changes nothing, and the caller may change what it got. Race: each
        document is as it stood at one moment, in a transaction all at the same moment.
        """
        ...

    def replace(self, documents: Sequence[Document]) -> None:
        """Write whole documents, as one unordered bulk write.

        Matches by `_id`; changes the whole document, or inserts it. Race: the last write
        wins; in transactions the second writer fails and runs again.

        Raises:
            ValueError: a document has no `_id`, or two have the same; nothing was written.
        """
        ...

    def apply(self, updates: Mapping[str, Update]) -> None:
        """Apply one update to each key's document, as one unordered bulk write of upserts.

        Matches by `_id`; changes the fields the update names, or inserts a document with
        them. An update that says nothing is left out, and creates nothing. Race: the server
        applies both sides' updates one after the other and loses neither; in transactions
        the second writer fails and runs again.

        Raises:
            UpdateError: some documents can't take their update. Outside a transaction the
                others have taken theirs.
        """
        ...


def check_keys(documents: Sequence[Document]) -> None:
    """Refuse documents without `_id`, and two of the same: unordered, luck would choose.

    Raises:
        ValueError: there is such a document.
    """
    keys = [document.get("_id") for document in documents]
    if None in keys:
        raise ValueError("a document without _id can't be replaced")
    if len(set(keys)) < len(keys):
        raise ValueError("two documents with the same _id in one call")


def as_stored(document: Document) -> Document:
    """A copy of the document as it comes back from MongoDB: whole milliseconds, lists, UTC."""
    return bson.decode(bson.encode(document, codec_options=CODEC), codec_options=CODEC)
