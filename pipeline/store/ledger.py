"""`ledger`: one row for each event and handler, written with the effect it stands for.

The id is `<event key>|<handler>`. Since a row is inserted in the transaction of the effect,
a second attempt to have the same effect meets the row and undoes itself: that is what makes
effects exactly-once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pymongo import ASCENDING, IndexModel, ReplaceOne
from pymongo.client_session import ClientSession
from pymongo.database import Database

from pipeline.disorder import Disorder
from pipeline.event import tenant_of
from pipeline.holding import Held
from pipeline.store import coming, dying
from pipeline.store.coming import disorder_of, fields_of, held_of
from pipeline.store.commands import ROUND_TRIP, SCANNED, insert
from pipeline.store.totals import total
from pipeline.updates import Update

INDEXES: Final = {
    "ledger": [
        # Prevents a scan when a field that can't be subtracted is computed again from all
        # contributions to its document. Only such rows are in it.
        IndexModel(
            [("handler", ASCENDING), ("key", ASCENDING)],
            name="recomputable",
            partialFilterExpression={"recomputable": True},
        ),
        # Prevents a scan when a person asks what failed, and a sort when it is looked at page
        # by page; what is filtered by is in it, so only documents that are wanted are read, and
        # `trouble`, so that counting reads none. Only rows that are not final are in it.
        IndexModel(
            [
                ("state", ASCENDING),
                ("write_at", ASCENDING),
                ("_id", ASCENDING),
                ("tenant", ASCENDING),
                ("handler", ASCENDING),
                ("error.type", ASCENDING),
                ("trouble", ASCENDING),
            ],
            name="trouble_in_time",
            partialFilterExpression={"trouble": True},
        ),
        # Prevents a scan when a person asks which effects would be different now. Only those
        # are in it.
        IndexModel(
            [
                ("outdated.at", ASCENDING),
                ("_id", ASCENDING),
                ("tenant", ASCENDING),
                ("handler", ASCENDING),
            ],
            name="outdated_in_time",
            partialFilterExpression={"outdated.at": {"$exists": True}},
        ),
        *coming.INDEXES,
        *dying.INDEXES,
    ],
}


RANGES: Final = 200
"""Events whose rows one query asks for."""


class LedgerState(StrEnum):
    """Where an event stands in a handler.

    Absent row: not yet attempted. DONE, SKIPPED and CANCELLED are final; SENDING, RETRYING,
    SNOOZED and HELD are moved on by the sweeper, HELD also by the run of the event it waits
    for; DEAD and VOIDED by a person; WAITING by the handler that it follows.
    """

    DONE = "done"
    """The effect is in the tables."""
    SKIPPED = "skipped"
    """The handler had nothing to do for it."""
    CANCELLED = "cancelled"
    """The handler, or a person, gave it up; the error tells why."""
    SENDING = "sending"
    """An effect has begun and was not noted as done; whether it was is known outside only."""
    SNOOZED = "snoozed"
    """The handler asked to be given it again at a later moment."""
    HELD = "held"
    """The number before it has not come; it waits for it, as long as the tenant allows."""
    RETRYING = "retrying"
    """An attempt failed; another follows."""
    DEAD = "dead"
    """All attempts failed; a person must look."""
    WAITING = "waiting"
    """As an absent row. It is there since what the handler follows has no effect any more, or
    has changed, so that a run at the same time meets it."""
    VOIDED = "voided"
    """A person took the event back: it is as if it had never come."""


WITH_EFFECT: Final = (LedgerState.DONE, LedgerState.SKIPPED)
FINAL: Final = (*WITH_EFFECT, LedgerState.CANCELLED, LedgerState.VOIDED)
TROUBLE: Final = (
    LedgerState.RETRYING,
    LedgerState.SNOOZED,
    LedgerState.HELD,
    LedgerState.DEAD,
)
_QUIET: Final = (*FINAL, LedgerState.WAITING)
OUT: Final = (LedgerState.DONE, LedgerState.SENDING)
"""Of effects: it is done outside, or may be, and nothing takes it back."""
PERSON: Final = "person"
"""The stage of an error that is no error: a person decided."""


class Outdated(NamedTuple):
    """A note that an effect which was done would be different now.

    Attributes:
        at: since when.
        by: key of the event that changed what it had seen: one that came late, or was undone.
        seen: digest of the change it had seen, by which it is known should it come back.
    """

    at: datetime
    by: str
    seen: str


class LedgerRow(NamedTuple):
    """What one handler did for one event.

    Attributes:
        event: event key.
        handler: the handler's name.
        state: where the event stands.
        key: id of the document it touched, or None.
        wrote: what it wrote to that document.
        attempt: 1 for the first.
        job: the RQ job, and the batch that tells worker and start.
        write_at: when the run began to write.
        lag_ms: how long after the event was received that was, in milliseconds.
        error: type, message, stage and traceback of the failure, or None; of a dead letter also
            its signature, which is added when it is stored.
        version: of the handler that was run.
        outdated: of an effect that was done and would be different now, since when; or None.
        disorder: what was wrong with its coming, or None where it came in order.
        held: how it was held back for its predecessor, or None.
    """

    event: str
    handler: str
    state: LedgerState
    key: str | None
    wrote: Update
    attempt: int
    job: str
    write_at: datetime
    lag_ms: int
    error: dict[str, str] | None = None
    version: int = 1
    outdated: Outdated | None = None
    disorder: Disorder | None = None
    held: Held | None = None

    @property
    def late_ms(self) -> int | None:
        """By how much event time the event was late for its document, or None."""
        return None if self.disorder is None else self.disorder.late_ms

    @property
    def id(self) -> str:
        """The row's id."""
        return row_id(self.event, self.handler)

    @property
    def has_effect(self) -> bool:
        """Whether the handler was run on the event to its end."""
        return self.state in WITH_EFFECT

    @property
    def discarded(self) -> bool:
        """Whether a person gave it up; nothing but a person takes that back."""
        return self.state is LedgerState.CANCELLED and (self.error or {}).get("stage") == PERSON

    def discard(self, reason: str, at: datetime) -> LedgerRow:
        """The row after a person gave the event up; what it failed of stays as the cause."""
        old = self.error or {}
        error = {"type": "Discarded", "message": reason, "stage": PERSON, "at": at.isoformat()}
        if old:
            error["cause"] = f"{old['type']}: {old['message']}"
        if "traceback" in old:
            error["traceback"] = old["traceback"]
        return self._replace(state=LedgerState.CANCELLED, error=error)

    def void(self, reason: str, by: str, at: datetime) -> LedgerRow:
        """The row after a person took the event back; what it failed of stays as the cause."""
        error = {"type": "Voided", "message": reason, "stage": PERSON, "at": at.isoformat()}
        error["by"] = by
        if self.error:
            error["cause"] = f"{self.error['type']}: {self.error['message']}"
        return self.withdrawn(LedgerState.VOIDED, error)

    def with_contribution(self, key: str | None, wrote: Update, version: int) -> LedgerRow:
        """The same row with another contribution, after a correction by this version."""
        state = LedgerState.DONE if key else LedgerState.SKIPPED
        return self._replace(key=key, wrote=wrote, state=state, error=None, version=version)

    def compared(self, now: str | None, before: str, by: str, at: datetime) -> LedgerRow:
        """The row of an effect that is done, after the change it had seen has become another.

        Args:
            now: digest of the change as it is; None where there is none any more.
            before: digest of the change as it was.
            by: key of the event that came or went.
            at: when that was.
        """
        seen = self.outdated.seen if self.outdated else before
        if now == seen:
            return self._replace(outdated=None) if self.outdated else self
        return self if self.outdated else self._replace(outdated=Outdated(at, by, seen))

    def withdrawn(self, state: LedgerState, error: dict[str, str] | None = None) -> LedgerRow:
        """The same row without an effect: waiting again, or voided."""
        return self._replace(
            state=state, key=None, wrote=Update.nothing(), error=error, disorder=None, held=None
        )


def row_id(event: str, handler: str) -> str:
    """`<event key>|<handler>`; a handler's name holds no `|`."""
    return f"{event}|{handler}"


class Ledger:
    """The rows, within one transaction or none."""

    def __init__(self, database: Database[dict[str, Any]], session: ClientSession | None) -> None:
        self._ledger = database["ledger"]
        self._session = session

    def insert(self, rows: Sequence[LedgerRow]) -> None:
        """Insert rows; one that exists raises DuplicateKeyError and undoes the transaction.

        This is the check against a second effect: the first transaction to commit wins.
        """
        if rows:
            insert(self._ledger, [_document(row) for row in rows], self._session)

    def put(self, rows: Iterable[LedgerRow]) -> None:
        """Write rows whether or not they exist; of two transactions the second conflicts."""
        writes = [ReplaceOne({"_id": row.id}, _document(row), upsert=True) for row in rows]
        if writes:
            self._ledger.bulk_write(writes, ordered=False, session=self._session)

    def rows(self, ids: Collection[str]) -> dict[str, LedgerRow]:
        """The rows of these ids, by id; absent ones are absent."""
        found = self._ledger.find(
            {"_id": {"$in": list(ids)}}, session=self._session, batch_size=ROUND_TRIP
        )
        return {doc["_id"]: row_of(doc) for doc in found}

    def scan(self) -> Iterator[LedgerRow]:
        """Every row by id, without what it wrote; a full pass, for verification."""
        found = self._ledger.find({"_id": {"$gt": ""}}, {"wrote": 0}, session=self._session)
        for doc in found.sort("_id", ASCENDING).batch_size(SCANNED):
            yield row_of({**doc, "wrote": {}})

    def of_event(self, event: str) -> list[LedgerRow]:
        """All rows of one event, by handler; a range of `_id`."""
        ranged = {"_id": {"$gt": f"{event}|", "$lt": f"{event}}}"}}
        found = self._ledger.find(ranged, session=self._session).sort("_id")
        # An id may go on after a `|` of its own: that is another event.
        return [row for row in map(row_of, found) if row.event == event]

    def of_events(self, events: Sequence[str]) -> list[LedgerRow]:
        """All rows of these events, whatever their handlers; ranges of `_id`."""
        asked, found = set(events), []
        for start in range(0, len(events), RANGES):
            ranges = [
                {"_id": {"$gt": f"{event}|", "$lt": f"{event}}}"}}
                for event in events[start : start + RANGES]
            ]
            docs = self._ledger.find({"$or": ranges}, session=self._session, batch_size=ROUND_TRIP)
            # An id may go on after a `|` of its own: that is another event.
            found += [row for row in map(row_of, docs) if row.event in asked]
        return found

    def written_to(self, keys: Collection[str]) -> Iterator[LedgerRow]:
        """Every row that wrote to a document of one of these ids, in any table; a full pass."""
        found = self._ledger.find(
            {"key": {"$in": list(keys)}}, session=self._session, batch_size=SCANNED
        )
        return map(row_of, found)

    def done_by(self, handler: str) -> Iterator[str]:
        """Keys of the events that a handler was run on to its end; a full pass."""
        matching = {
            "_id": {"$regex": f"{re.escape('|' + handler)}$"},
            "state": {"$in": [state.value for state in WITH_EFFECT]},
        }
        found = self._ledger.find(matching, {"_id": 1}, session=self._session, batch_size=SCANNED)
        return (doc["_id"].rpartition("|")[0] for doc in found)

    def total(self, handler: str, key: str, operators: Mapping[str, str]) -> Update:
        """What this handler's contributions to a document come to, where it takes no minus.

        Args:
            handler: its name.
            key: the document's id.
            operators: by path that is wanted, the operator by which it is changed.
        """
        rows = {"handler": handler, "key": key, "recomputable": True}
        return total(self._ledger, rows, operators, self._session)

    def outdated(
        self, *, tenant: str | None = None, handler: str | None = None, limit: int
    ) -> list[LedgerRow]:
        """Effects that were done and would be different now, the longest known first."""
        matching: dict[str, Any] = {"outdated.at": {"$exists": True}}
        given = {"tenant": tenant, "handler": handler}
        matching |= {name: value for name, value in given.items() if value is not None}
        found = self._ledger.find(matching, session=self._session, batch_size=ROUND_TRIP)
        order = [("outdated.at", ASCENDING), ("_id", ASCENDING)]
        return [row_of(doc) for doc in found.sort(order).limit(limit)]

    def in_trouble(self) -> dict[str, int]:
        """How many rows stand in each state that is not final; read from the index alone."""
        groups = self._ledger.aggregate(
            [
                {"$match": {"trouble": True, "state": {"$in": [state.value for state in TROUBLE]}}},
                {"$group": {"_id": "$state", "rows": {"$sum": 1}}},
            ],
            session=self._session,
        )
        return {row["_id"]: row["rows"] for row in groups}


def _document(row: LedgerRow) -> dict[str, Any]:
    """The row without what its id or a default tells: there are many of them."""
    document: dict[str, Any] = {
        "_id": row.id,
        "state": row.state._value_,  # `value` is a property written in Python
        "key": row.key,
        "job": row.job,
        "write_at": row.write_at,
        "lag_ms": row.lag_ms,
        "wrote": row.wrote.to_stored(),
    }
    if row.attempt > 1:
        document["attempt"] = row.attempt
    if row.version > 1:
        document["version"] = row.version
    if row.error is not None:
        dead = row.state is LedgerState.DEAD
        document["error"] = dying.signed(row.error) if dead else row.error
    if row.outdated is not None:
        document["outdated"] = row.outdated._asdict()
        document |= {"handler": row.handler, "tenant": tenant_of(row.event)}
    if row.disorder is not None or row.held is not None:
        document |= {"handler": row.handler, "tenant": tenant_of(row.event)}
        document |= fields_of(row.disorder, row.held)
    if row.state not in _QUIET:
        document |= {"trouble": True, "handler": row.handler, "tenant": tenant_of(row.event)}
    elif row.key is not None and not row.wrote.subtractable:
        document |= {"recomputable": True, "handler": row.handler}
    return document


def row_of(doc: dict[str, Any]) -> LedgerRow:
    """The row that a document holds."""
    event, _, handler = doc["_id"].rpartition("|")
    return LedgerRow(
        event=event,
        handler=handler,
        state=LedgerState(doc["state"]),
        key=doc["key"],
        wrote=Update.from_stored(doc["wrote"]),
        attempt=doc.get("attempt", 1),
        job=doc["job"],
        write_at=doc["write_at"],
        lag_ms=doc["lag_ms"],
        error=doc.get("error"),
        version=doc.get("version", 1),
        outdated=Outdated(**doc["outdated"]) if "outdated" in doc else None,
        disorder=disorder_of(doc),
        held=held_of(doc),
    )
