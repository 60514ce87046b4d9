"""Commands on the hot path, in the form that costs the client least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, WriteError

ROUND_TRIP: Final = 1000
"""Documents of one reply; MongoDB's own first one holds 101, and a batch has 500."""

SCANNED: Final = 5000
"""Documents of one reply in a pass over a whole collection."""

DUPLICATE_KEY: Final = 11000

Taken = DuplicateKeyError
"""What `insert` raises where a document of that id exists."""


class Outdated(Exception):
    """The database is not as it was expected to be; look, and try again."""


def insert(
    collection: Collection[dict[str, Any]],
    documents: Sequence[dict[str, Any]],
    session: ClientSession | None,
) -> None:
    """Insert documents that have an `_id`, in one command if they fit into one.

    `insert_many` spends about 4 microseconds of Python on each document; the bare command
    is encoded as a whole.

    Raises:
        DuplicateKeyError: one of them exists.
        WriteError: MongoDB refuses one of them.
        DocumentTooLarge: one of them is.
    """
    _send(collection, "insert", "documents", documents, session)


def update(
    collection: Collection[dict[str, Any]],
    statements: Sequence[dict[str, Any]],
    session: ClientSession | None,
    *,
    ordered: bool = True,
) -> int:
    """Run update statements (`q`, `u`, `upsert`, `multi`) in their order.

    As with `insert`: `bulk_write` costs several times the Python. Unordered, a statement that
    is refused does not keep the ones after it from being run.

    Returns:
        How many documents matched or were inserted.

    Raises:
        DuplicateKeyError: an upsert met one of another transaction.
        WriteError: MongoDB refuses some of them; the first one's query is in its details as
            `q`, and how many there are as `refused`.
        DocumentTooLarge: one of them is.
    """
    return _send(collection, "update", "updates", statements, session, ordered=ordered)


def _send(
    collection: Collection[dict[str, Any]],
    command: str,
    field: str,
    parts: Sequence[dict[str, Any]],
    session: ClientSession | None,
    *,
    ordered: bool = True,
) -> int:
    """One command; where PyMongo finds it too large before sending it, two of half the size."""
    if not parts:
        return 0
    try:
        reply = collection.database.command(
            {command: collection.name, field: parts, "ordered": ordered},
            codec_options=collection.codec_options,
            session=session,
        )
    except DocumentTooLarge:
        middle = len(parts) // 2
        if not middle:
            raise
        halves = parts[:middle], parts[middle:]
        return sum(
            _send(collection, command, field, half, session, ordered=ordered) for half in halves
        )
    _raise_refused(reply, parts)
    return int(reply["n"])


def _raise_refused(reply: dict[str, Any], parts: Sequence[dict[str, Any]]) -> None:
    faults = reply.get("writeErrors")
    if faults:
        first = faults[0]
        kind = DuplicateKeyError if first["code"] == DUPLICATE_KEY else WriteError
        query = parts[first["index"]].get("q")
        details = {**first, "q": query, "refused": len(faults)}
        raise kind(first["errmsg"], first["code"], details)
