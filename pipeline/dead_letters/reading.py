"""Finding dead letters, and all that is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from pipeline.declarations import Fold, Observer
from pipeline.event import Event, event_id_of, tenant_of
from pipeline.registry import Registry
from pipeline.store import (
    EventRecord,
    LedgerRow,
    LedgerState,
    Place,
    RunRecord,
    Store,
    Tally,
    Where,
)
from pipeline.temporal import Fields, row_id

MOST: Final = 1000
"""Letters of one page."""
ALL: Final = Where()


@dataclass(frozen=True, slots=True)
class Letter:
    """An event that a handler has given up on.

    Attributes:
        row: its ledger row.
        run: who made the last attempt and when it began to read, if that is still known.
        record: the event; its payload is read when it is looked at. None where the event
            is not stored any more.
    """

    row: LedgerRow
    run: RunRecord | None
    record: EventRecord | None

    @property
    def id(self) -> str:
        """What decisions name it by."""
        return self.row.id

    @property
    def event(self) -> str:
        """The event key."""
        return self.row.event

    @property
    def handler(self) -> str:
        """The handler that gave up."""
        return self.row.handler

    @property
    def attempts(self) -> int:
        """How many attempts were made."""
        return self.row.attempt

    @property
    def died_at(self) -> datetime:
        """When the last attempt was made."""
        return self.row.write_at

    @property
    def error(self) -> dict[str, str]:
        """Type, message, stage and, unless the handler said all itself, traceback."""
        return self.row.error or {}

    @property
    def cause(self) -> str:
        """Type and message of the error."""
        return f"{self.error.get('type')}: {self.error.get('message')}"


class Page(NamedTuple):
    """Some dead letters, and the place from which the next page goes on, if there is one."""

    letters: list[Letter]
    after: Place | None


class Inputs(NamedTuple):
    """What a handler would be given, were the letter requeued now, beside the event.

    Attributes:
        document: table and id of the document whose state it reads; None where it reads
            none, or the key can't be made of the event.
        before: the document's fields before the event; None where there was no document.
        after: for an observer, the fields after the event; None where its fold has left
            no row for the event.
        observes: whether the handler is an observer, and so sees what is after.
    """

    document: str | None = None
    before: Fields | None = None
    after: Fields | None = None
    observes: bool = False


def find(
    store: Store,
    where: Where = ALL,
    *,
    limit: int = 50,
    after: Place | None = None,
    newest_first: bool = True,
) -> Page:
    """Dead letters in the order in which they died, a page at a time.

    Args:
        store: where they are.
        where: which of them.
        limit: most letters, up to 1,000.
        after: the place at which the page before ended.
        newest_first: the way to go; the same for all pages.
    """
    records = store.records
    limit = max(1, min(limit, MOST))
    rows = records.trouble.rows(
        LedgerState.DEAD, where, limit=limit, after=after, newest_first=newest_first
    )
    runs = records.batches.runs({row.job for row in rows})
    events = records.events.load({row.event for row in rows})
    letters = [Letter(row, runs.get(row.job), events.get(row.event)) for row in rows]
    return Page(letters, Place.of(rows[-1]) if len(rows) == limit else None)


def tally(store: Store, where: Where = ALL) -> list[Tally]:
    """How many dead letters there are, by handler and type of error."""
    return store.records.trouble.tallies(where)


def inputs(store: Store, registry: Registry, letter: Letter) -> Inputs:
    """The state that the letter's event would be applied to.

    It is the state as of the event's place in the order, as it is known now: what came late
    since the last attempt is in it.

    Raises:
        UnknownHandler: no loaded module declares the handler.
    """
    handler = registry.handler(letter.handler)
    if not isinstance(handler, Fold | Observer) or letter.record is None:
        return Inputs()
    fold, event = handler.root, letter.record.event
    try:
        key = fold.key(event)
    except Exception:  # noqa: BLE001 - the handler met the same, and the error tells of it
        return Inputs()
    document, history = f"{fold.table}[{key}]", store.records.history(fold.history)
    if isinstance(handler, Fold):
        return Inputs(document, history.state_before(key, event.order))
    row = row_id(key, event.order)
    change = history.transitions([row]).get(row)
    before, after = change or (None, None)
    return Inputs(document, before, after, observes=True)


def as_json(letter: Letter, given: Inputs | None = None) -> dict[str, Any]:
    """The letter for programs; with what its handler would be given, if that was asked for."""
    run, record = letter.run, letter.record
    told: dict[str, Any] = {
        "event": letter.event,
        "event_id": event_id_of(letter.event),
        "tenant": tenant_of(letter.event),
        "type": record.event.type if record else None,
        "handler": letter.handler,
        "attempts": letter.attempts,
        "died_at": letter.died_at,
        "received_at": record.received_at if record else None,
        "worker": run.worker if run else None,
        "job": letter.row.job,
        "error": letter.error,
    }
    if given is not None:
        told["inputs"] = {
            "event": _event_json(record.event) if record else None,
            **given._asdict(),
        }
    return told


def _event_json(event: Event) -> dict[str, Any]:
    return {**event.envelope(), "payload": event.payload}
