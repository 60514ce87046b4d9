"""Reading as of one moment, from any number of processes.

MongoDB keeps what was overwritten for a while, so readers that agree on a moment of its
cluster time see the same of everything, however much is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

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


def present(client: MongoClient[dict[str, Any]]) -> Timestamp:
    """The present moment of MongoDB's cluster time."""
    moment: Timestamp = client.admin.command("ping")["operationTime"]
    return moment


def kept_for(client: MongoClient[dict[str, Any]]) -> int:
    """For how many seconds history is kept; what MongoDB does untold, where we may not ask.

    Raises:
        Unavailable: this MongoDB keeps none.
    """
    with _asking():
        return int(client.admin.command({"getParameter": 1, HISTORY: 1})[HISTORY])
    return HISTORY_SECONDS


def keep_for(client: MongoClient[dict[str, Any]], seconds: int) -> None:
    """Let history be kept for so long; what is kept for nothing slows all writes.

    Raises:
        Unavailable: this MongoDB can't be told.
    """
    with _asking():
        client.admin.command({"setParameter": 1, HISTORY: seconds})


@contextmanager
def _asking() -> Iterator[None]:
    """Ask for the parameter, or set it, if this user may."""
    try:
        yield
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise Unavailable(
                f"MongoDB keeps no history to read from: set its parameter {HISTORY} to "
                f"{HISTORY_SECONDS} or more ({error})"
            ) from None


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
