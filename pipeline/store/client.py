"""Connections, transactions and indexes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, TypeVar

import structlog
from bson import Timestamp
from pymongo import ASCENDING, IndexModel, MongoClient, ReadPreference, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from tenacity import RetryCallState

from pipeline.errors import SettingError, Unavailable
from pipeline.metrics import Counts
from pipeline.metrics.catalogue import TRANSACTION_RETRIES, TRANSACTION_SECONDS
from pipeline.store import (
    audit,
    batches,
    events,
    ledger,
    operations,
    policies,
    snapshots,
    stances,
    verifications,
)
from pipeline.store.audit import Audit
from pipeline.store.batches import Batches
from pipeline.store.commands import SCANNED
from pipeline.store.events import Events
from pipeline.store.history import History
from pipeline.store.ledger import Ledger
from pipeline.store.marks import Marks
from pipeline.store.operations import Operations
from pipeline.store.patience import UNAUTHORIZED, cause, commit, log_retry, patiently
from pipeline.store.stances import Stances
from pipeline.store.tables import MongoTable
from pipeline.store.trouble import Trouble
from pipeline.store.verifications import Verifications
from pipeline.tables import CODEC

T = TypeVar("T")

MAJORITY: Final = WriteConcern("majority")
NO_ADDRESS: Final = (
    "PIPELINE_MONGO_URL is no address of a MongoDB, or its name is not known; write "
    "mongodb://user:password@host:27017/?replicaSet=name, and %XX for what is special in a password"
)
SHORTEST_HEARTBEAT_MS: Final = 500
"""PyMongo takes no less."""
OLDEST_WIRE: Final = 17
"""The wire version of MongoDB 6.0."""
INDEXES: Final = {
    **events.INDEXES,
    **ledger.INDEXES,
    **batches.INDEXES,
    **policies.INDEXES,
    **verifications.INDEXES,
    **audit.INDEXES,
    **operations.INDEXES,
    **stances.INDEXES,
}

NO_INDEXES: Final[Mapping[str, Iterable[Sequence[str]]]] = MappingProxyType({})

log = structlog.get_logger(__name__)


def connect(url: str, *, timeout_seconds: float = 5.0) -> MongoClient[dict[str, Any]]:
    """A client whose address is checked at once.

    Raises:
        SettingError: that is no address of a MongoDB.
        Unavailable: nothing answers there, it refuses us, or it has no replica set, and so
            no transactions; the message says which, without the password.
    """
    client = _client(url, timeout_seconds)
    try:
        hello = client.admin.command("hello")
        client.admin.command("listDatabases", nameOnly=True, filter={"name": "admin"})
    except OperationFailure as error:
        client.close()
        raise Unavailable(f"MongoDB refuses this user: {error.details or error}") from None
    except PyMongoError as error:
        client.close()
        first = str(error).partition(", Timeout")[0]
        raise Unavailable(f"MongoDB does not answer within {timeout_seconds} s: {first}") from None
    reason = unfit(hello)
    if reason:
        client.close()
        raise Unavailable(reason)
    return client


def _client(url: str, timeout_seconds: float) -> MongoClient[dict[str, Any]]:
    # What is warned of, or raised, may quote the password.
    with warnings.catch_warnings(action="ignore"):
        try:
            return MongoClient(
                url,
                serverSelectionTimeoutMS=int(timeout_seconds * 1000),
                # Together they are how long a primary that hangs is believed in; 30 s by default.
                connectTimeoutMS=int(timeout_seconds * 1000),
                heartbeatFrequencyMS=max(SHORTEST_HEARTBEAT_MS, int(timeout_seconds * 1000)),
                appname="pipeline",
            )
        except (ValueError, PyMongoError):
            raise SettingError(NO_ADDRESS) from None


def unfit(hello: Mapping[str, Any]) -> str | None:
    """Why a MongoDB that says this of itself can't be used, if so."""
    if hello.get("maxWireVersion", 0) < OLDEST_WIRE:
        return "this MongoDB is too old; version 6.0 or newer is needed"
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        return (
            "this MongoDB is no replica set, so it has no transactions; "
            "start it with --replSet and run `pipeline initiate` once"
        )
    if hello.get("secondary") and not hello.get("isWritablePrimary"):
        return (
            "this MongoDB is a read-only secondary; name the replica set in PIPELINE_MONGO_URL "
            "(?replicaSet=...) and leave out directConnection"
        )
    return None


class Records:
    """All collections, within one transaction or, without a session, outside of any.

    Each is made when it is asked for first: a transaction uses a few of them.
    """

    def __init__(
        self, database: Database[dict[str, Any]], session: ClientSession | None = None
    ) -> None:
        self._database = database
        self._session = session

    @cached_property
    def events(self) -> Events:
        """The events and their payloads."""
        return Events(self._database, self._session)

    @cached_property
    def ledger(self) -> Ledger:
        """What each handler did about each event."""
        return Ledger(self._database, self._session)

    @cached_property
    def batches(self) -> Batches:
        """What is to be done, and by whom it was."""
        return Batches(self._database, self._session)

    @cached_property
    def trouble(self) -> Trouble:
        """Events that did not go through."""
        return Trouble(self._database, self._session)

    @cached_property
    def marks(self) -> Marks:
        """Events that came out of order, or were held back."""
        return Marks(self._database, self._session)

    @cached_property
    def verifications(self) -> Verifications:
        """Verifications, and what they found."""
        return Verifications(self._database, self._session)

    @cached_property
    def audit(self) -> Audit:
        """What people did."""
        return Audit(self._database, self._session)

    @cached_property
    def operations(self) -> Operations:
        """Bulk operations."""
        return Operations(self._database, self._session)

    @cached_property
    def stances(self) -> Stances:
        """What people think of groups of dead letters."""
        return Stances(self._database, self._session)

    def table(self, name: str) -> MongoTable:
        """A domain's table."""
        return MongoTable(self._database[name], self._session)

    def history(self, name: str) -> History:
        """A domain's temporal table."""
        return History(self._database, name, self._session)


class Store:
    """One database of the pipeline's own.

    Args:
        client: connected to a replica set.
        name: the database's name.
        counts: where transactions are counted.
    """

    def __init__(
        self, client: MongoClient[dict[str, Any]], name: str, counts: Counts | None = None
    ) -> None:
        self._client = client
        self._counts = counts or Counts()
        self.database: Database[dict[str, Any]] = client.get_database(
            name, codec_options=CODEC, write_concern=MAJORITY
        )
        self.records = Records(self.database)

    def prepare(
        self, tables: Iterable[str], indexes: Mapping[str, Iterable[Sequence[str]]] = NO_INDEXES
    ) -> None:
        """Create collections and indexes that are missing; harmless when repeated.

        Collections are made here, since one that is made within a transaction conflicts
        with every other transaction that does the same.

        Args:
            tables: the domain's.
            indexes: by table, the fields of each index of its own.
        """
        present = set(self.database.list_collection_names())
        for name in {*INDEXES, *tables} - present:
            try:
                self.database.create_collection(name)
            except OperationFailure as error:
                if error.code == UNAUTHORIZED:
                    raise Unavailable(
                        f"MongoDB does not let this user write to the database "
                        f"{self.database.name!r}; grant it the role readWrite there"
                    ) from None
                if error.code != 48:  # another process has just made it  # noqa: PLR2004
                    raise
        asked = {name: [_ascending(fields) for fields in indexes[name]] for name in indexes}
        for name, models in (INDEXES | asked).items():
            if models:
                self.database[name].create_indexes(models)

    def transact(self, work: Callable[[Records], T]) -> T:
        """Run `work` in one majority transaction with a snapshot, and commit it.

        Faults that another try can cure (a write conflict, a new primary, a lost
        connection, a key inserted by someone else meanwhile) undo the transaction and run
        `work` again after a random pause, longer each time.

        Raises:
            Unavailable: the database did not come back within 30 seconds, or does not let us
                write now: no right, no space, no majority.
        """
        begun = time.monotonic()
        try:
            return patiently(lambda: self._once(work), self._note_retry)
        finally:
            self._counts.observe(TRANSACTION_SECONDS, [(time.monotonic() - begun, 1)])

    def _note_retry(self, state: RetryCallState) -> None:
        self._counts.add(TRANSACTION_RETRIES, (cause(state),))
        log_retry(state)

    def rehearse(self, work: Callable[[Records], T]) -> T:
        """As `transact`, and then undo all of it: what `work` returns is what would be.

        For who only reads, all of it is as it was at one moment, which takes seconds at most.

        Raises:
            Unavailable: as above.
        """
        return patiently(lambda: self._once(work, keep=False))

    def read(self, work: Callable[[Records], T]) -> T:
        """Run `work`, which only reads, outside of any transaction; again as `transact` does.

        Raises:
            Unavailable: the database did not come back within 30 seconds.
        """
        return patiently(lambda: work(self.records))

    def present(self) -> Timestamp:
        """The present moment, for `as_of`."""
        return patiently(lambda: snapshots.present(self._client))

    def history_kept_for(self) -> int:
        """For how many seconds MongoDB keeps what was overwritten.

        Raises:
            Unavailable: it keeps none, or did not answer.
        """
        return patiently(lambda: snapshots.kept_for(self._client))

    def keep_history_for(self, seconds: int) -> None:
        """Let MongoDB keep what is overwritten for so long, if this user may say so.

        Raises:
            Unavailable: it can't be told, or did not answer.
        """
        patiently(lambda: snapshots.keep_for(self._client, seconds))

    def as_of(self, moment: Timestamp, work: Callable[[Records], T]) -> T:
        """Run `work`, which only reads, on what was stored at that moment; again as `transact`.

        Raises:
            SnapshotGone: MongoDB has forgotten it.
            Unavailable: the database did not come back within 30 seconds.
        """

        def once() -> T:
            with snapshots.as_of(self._client, moment) as session:
                return work(Records(self.database, session))

        return patiently(once)

    def _once(self, work: Callable[[Records], T], *, keep: bool = True) -> T:
        with (
            self._client.start_session() as session,
            session.start_transaction(
                read_concern=ReadConcern("snapshot"),
                write_concern=MAJORITY,
                read_preference=ReadPreference.PRIMARY,
            ),
        ):
            result = work(Records(self.database, session))
            if keep:
                commit(session)
            else:
                session.abort_transaction()
            return result

    def find(self, table: str, matching: Mapping[str, Any], *, limit: int) -> list[dict[str, Any]]:
        """Documents of a table, by id; for people, outside of any transaction."""
        return list(self.database[table].find(matching).sort("_id").limit(limit))

    def scan(self, table: str) -> Iterator[dict[str, Any]]:
        """Every document of a table, by id; a full pass, for verification."""
        return iter(self.database[table].find().sort("_id").batch_size(SCANNED))

    def tenants(self, tables: Iterable[str], *, limit: int) -> list[str]:
        """The tenants of these tables' documents, up to so many; a look at the index for each.

        Every id begins with its tenant and then ends, or goes on with a colon.
        """
        found: set[str] = set()
        for table in tables:
            after = ""
            while len(found) < limit:
                beyond = self.database[table].find({"_id": {"$gt": after}}, {"_id": 1})
                first = next(iter(beyond.sort("_id").limit(1)), None)
                if first is None:
                    break
                tenant, colon, _ = str(first["_id"]).partition(":")
                found.add(tenant)
                # A semicolon follows a colon. Beyond a bare `acme` comes `acme-2:x`, then `acme:x`.
                after = f"{tenant};" if colon else tenant
        return sorted(found)

    def counts(self, tables: Iterable[str]) -> dict[str, int]:
        """How many documents each collection holds, from its own count."""
        return {name: self.database[name].estimated_document_count() for name in tables}

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def _ascending(fields: Sequence[str]) -> IndexModel:
    return IndexModel([(name, ASCENDING) for name in fields])
