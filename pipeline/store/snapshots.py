"""Reading as of one moment, from any number of processes.

MongoDB keeps what was overwritten for a while, so readers that agree on a moment of its
cluster time see the same of everything, however much is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from bson import Timestamp
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from pipeline.errors import SnapshotGone, Unavailable

HISTORY: Final = "minSnapshotHistoryWindowInSeconds"
HISTORY_SECONDS: Final = 300
"""How long MongoDB keeps what was overwritten, unless it is told otherwise."""
_UNAUTHORIZED: Final = 13
_GONE: Final = frozenset({239, 246})  # SnapshotTooOld, SnapshotUnavailable


class Present(NamedTuple):
    """The present moment of MongoDB's cluster time, from which its history is kept.

    Attributes:
        moment: the moment.
        kept: for how many seconds history was kept before, if that was changed.
    """

    moment: Timestamp
    kept: int | None = None


def present(client: MongoClient[dict[str, Any]]) -> Present:
    """The present moment, from which history is kept.

    Raises:
        Unavailable: this MongoDB keeps none, and does not let us ask for it.
    """
    kept = _keep_history(client)
    return Present(client.admin.command("ping")["operationTime"], kept)


def keep_no_longer(client: MongoClient[dict[str, Any]], kept: int) -> None:
    """Let history be kept for as long as before: what is kept for nothing slows all writes."""
    client.admin.command({"setParameter": 1, HISTORY: kept})


def _keep_history(client: MongoClient[dict[str, Any]]) -> int | None:
    """See to it that history is kept; for how long it was before, if that had to be changed."""
    try:
        kept = client.admin.command({"getParameter": 1, HISTORY: 1})[HISTORY]
        if kept < HISTORY_SECONDS:
            client.admin.command({"setParameter": 1, HISTORY: HISTORY_SECONDS})
            return int(kept)
    except OperationFailure as error:
        # Who may not ask finds the value that MongoDB has unless it was told otherwise.
        if error.code != _UNAUTHORIZED:
            raise Unavailable(
                f"MongoDB keeps no history to read from: set its parameter {HISTORY} to "
                f"{HISTORY_SECONDS} or more ({error})"
            ) from None
    return None


@contextmanager
def as_of(client: MongoClient[dict[str, Any]], moment: Timestamp) -> Iterator[ClientSession]:
    """A session whose reads all see what was stored at that moment.

    Raises:
        SnapshotGone: MongoDB has forgotten what was stored then.
    """
    with client.start_session(snapshot=True) as session:
        # PyMongo takes the moment from the first answer and has no public way to name it.
        vars(session)["_snapshot_time"] = moment
        try:
            yield session
        except OperationFailure as error:
            if error.code in _GONE:
                raise SnapshotGone(
                    f"MongoDB has forgotten what was stored at {moment.as_datetime():%H:%M:%S}; "
                    f"its parameter {HISTORY} says for how many seconds it remembers"
                ) from error
            raise
