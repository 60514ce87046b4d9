"""What an undo comes to, whether it was done or only tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.store import EventRecord, LedgerRow
from pipeline.tables import Document
from pipeline.updates.ordering import same


class DocumentChange(NamedTuple):
    """A document before and after; None where there is none."""

    table: str
    id: str
    before: Document | None
    after: Document | None

    def fields(self) -> Iterator[tuple[str, Any, Any]]:
        """The fields that differ, by name, with their values before and after."""
        before, after = _told(self.before), _told(self.after)
        for name in {**before, **after}:
            if not same(before.get(name), after.get(name)):
                yield name, before.get(name), after.get(name)

    @property
    def differs(self) -> bool:
        """Whether it would be another one for who reads it."""
        gone_or_new = (self.before is None) != (self.after is None)
        return gone_or_new or any(True for _ in self.fields())


class RowChange(NamedTuple):
    """How many rows of one document a temporal table loses, and how many change."""

    table: str
    key: str
    removed: int
    rewritten: int


class Fallen(NamedTuple):
    """An event that can't be applied any more: of which handler, and why."""

    event: str
    handler: str
    state: str
    error: str


@dataclass(slots=True)
class Undone:
    """What taking an event back comes to.

    Attributes:
        record: the event.
        done: whether anything was to be done; False where it had been undone before.
        documents: that differ afterwards, of folds first.
        rows: of temporal tables.
        contributions: of observers and commutative actions, before and after; the event's
            own and those of events after it.
        out: effects of the event that were done, or may have been, and can't be taken back.
        outdated: effects of other events that were done and would be different now.
        fallen: events that fail without this one.
    """

    record: EventRecord
    done: bool = True
    documents: list[DocumentChange] = field(default_factory=list)
    rows: list[RowChange] = field(default_factory=list)
    contributions: list[tuple[LedgerRow | None, LedgerRow]] = field(default_factory=list)
    out: list[LedgerRow] = field(default_factory=list)
    outdated: list[LedgerRow] = field(default_factory=list)
    fallen: list[Fallen] = field(default_factory=list)


def as_json(found: Undone) -> dict[str, Any]:
    """The report for programs."""
    return {
        "event": found.record.event.key,
        "undone_before": not found.done,
        "documents": [
            {
                "table": change.table,
                "id": change.id,
                "created": change.before is None,
                "removed": change.after is None,
                "fields": {
                    name: {"before": before, "after": after}
                    for name, before, after in change.fields()
                },
            }
            for change in found.documents
        ],
        "rows": [change._asdict() for change in found.rows],
        "contributions": [
            {
                "event": row.event,
                "handler": row.handler,
                "state": row.state.value,
                "before": _contribution(stood),
                "after": _contribution(row),
            }
            for stood, row in found.contributions
        ],
        "effects_out": [_effect(row) for row in found.out],
        "effects_outdated": [_effect(row) for row in found.outdated],
        "fallen": [one._asdict() for one in found.fallen],
    }


def _told(document: Document | None) -> Document:
    """The fields that handlers wrote."""
    return {name: value for name, value in (document or {}).items() if name not in _OWN}


_OWN = ("_id", "_sync")


def _contribution(row: LedgerRow | None) -> dict[str, Any] | None:
    if row is None or row.key is None:
        return None
    return {"id": row.key, "wrote": row.wrote.describe()}


def _effect(row: LedgerRow) -> dict[str, Any]:
    return {
        "event": row.event,
        "handler": row.handler,
        "state": row.state.value,
        "at": row.write_at,
    }
