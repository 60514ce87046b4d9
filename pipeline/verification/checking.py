"""Whether what is stored of some entities is what their events make of the same handlers.

Pure: what is stored goes in, findings come out. Nothing is guessed: where a handler fails
now on what it was run on then, or a payload is gone, or rows were written by another version
of the handler and differ, that is told as something of which nothing can be told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.declarations import Action, Commutative, Effect, Fold, Handler, Observer
from pipeline.executor.deriving import Contribution, addition, change_of, contribution
from pipeline.folding import Folded, Past, fold
from pipeline.registry import Registry
from pipeline.replay import ABSENT, WRITTEN_WHOLE, Difference, Kind
from pipeline.store import LedgerRow
from pipeline.store.history import document_of
from pipeline.store.ledger import row_id
from pipeline.tables import Document
from pipeline.temporal import Row
from pipeline.verification.findings import Finding, Unknown
from pipeline.verification.stored import Handled, Stored, asked, below
from pipeline.verification.sums import Sums

LEDGER: Final = "ledger"


@dataclass(slots=True)
class Checked:
    """What a check of some entities came to.

    Attributes:
        events: how many were looked at.
        present: documents and temporal rows that were met, by table, wrong ones too.
        waiting: how often an event still waits for a handler.
        findings: what is wrong, or can't be told.
        folded: by fold and key, the documents that are not what folding came to, in
            themselves or in their rows, each with one of the events it is made of.
        rows: by handler and event, what the ledger should say and does not.
        untold: by fold, the keys of documents of which can't be told what they should be.
        sums: what the ledger says that was added to derived documents.
        identities: by ledger row, the fields that its document's id is made of.
    """

    events: int = 0
    present: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    findings: list[Finding] = field(default_factory=list)
    folded: dict[tuple[str, str], str] = field(default_factory=dict)
    rows: set[Handled] = field(default_factory=set)
    untold: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    sums: Sums = field(default_factory=Sums)
    identities: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def wrong(self) -> set[str]:
        """Events of which something is wrong that a repair puts right."""
        return {*self.folded.values(), *(event for _, event in self.rows)}


def check(registry: Registry, stored: Stored, actions: Collection[Action]) -> Checked:
    """Hold what is stored against what the events come to, in these actions and below them."""
    present = {**stored.documents, **{t: _flat(rows) for t, rows in stored.rows.items()}}
    found = Checked(len(stored.events), {table: len(there) for table, there in present.items()})
    _check_ledger(registry, stored, actions, found)
    for action in actions:
        if isinstance(action, Fold):
            for key, event in stored.astray[action.name].items():
                why = f"it is made of {event} too, which {action.name} can't be run on any more"
                found.findings.append(Unknown(action.table, key, why))
            for key, events in by_key(stored, action).items():
                _check_document(registry, stored, action, key, events, found)
        elif isinstance(action, Commutative):
            _check_additions(registry, stored, action, found)
    _add_up(registry, stored, actions, found)
    return found


def _flat(rows: Mapping[str, Sequence[Document]]) -> list[Document]:
    return [row for some in rows.values() for row in some]


def expected(stored: Stored, action: Fold, key: str, events: list[str]) -> Folded:
    """What the events that had their effect in a fold make of one of its documents."""
    applied = [stored.events[e] for e in events if stored.had_effect(action, e)]
    return fold(action, key, Past(None), applied)


def by_key(stored: Stored, action: Fold) -> Mapping[str, list[str]]:
    """The events that are for each document of which can be told what it should be, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for event, key in stored.keys[action.name].items():
        if key not in stored.astray[action.name]:
            found[key].append(event)
    return found


def undeclared(registry: Registry, stored: Stored) -> Iterator[Unknown]:
    """The rows of handlers that are gone."""
    known = {handler.name for handler in registry}
    for row in stored.ledger.values():
        if row.handler not in known:
            why = f"no loaded module declares {row.handler}, which was run on it"
            yield Unknown(LEDGER, row.id, why)


def _check_ledger(
    registry: Registry, stored: Stored, actions: Collection[Action], found: Checked
) -> None:
    """Every handler whose turn has come has a row, or a batch that waits."""
    rows = dict(stored.ledger)
    for event in stored.events.values():
        for handler in asked(registry, event, actions):
            row = rows.pop(row_id(event.key, handler.name), None)
            if row is None and stored.is_led(handler, event.key):
                _miss(stored, handler, event.key, found)
            elif row is not None and _stands_alone(stored, handler, row):
                found.findings.append(Difference(LEDGER, row.id, Kind.UNEXPECTED))
                found.rows.add((handler.name, event.key))
    ours = {handler.name for handler in below(registry, actions)}
    for row in rows.values():
        if row.handler in ours and row.has_effect:
            kind = stored.events[row.event].type
            why = f"{row.handler} was run on it, and is asked for no event of type {kind} now"
            found.findings.append(Unknown(LEDGER, row.id, why))


def _miss(stored: Stored, handler: Handler, event: str, found: Checked) -> None:
    """Note that a handler whose turn has come has no row for an event."""
    id_ = row_id(event, handler.name)
    if (handler.name, event) in stored.waiting:
        found.waiting += 1
    elif isinstance(handler, Effect):
        # It may be newer than the event, and nobody wants the mails of years.
        why = (
            f"{handler.name} was never asked to do it: it is newer than the event, or its batch "
            f"is lost. No repair does what is done outside; `pipeline trace {event}` shows "
            f"the event to who wants to do it"
        )
        found.findings.append(Unknown(LEDGER, id_, why))
    else:
        found.findings.append(Difference(LEDGER, id_, Kind.MISSING))
        found.rows.add((handler.name, event))


def _stands_alone(stored: Stored, handler: Handler, row: LedgerRow) -> bool:
    """Whether an observer counts for an event that what it observes had no effect for."""
    if not isinstance(handler, Observer) or not row.has_effect:
        return False
    return not stored.is_led(handler, row.event)


def _add_up(
    registry: Registry, stored: Stored, actions: Collection[Action], found: Checked
) -> None:
    """What the ledger says was added, right or wrong: derived documents should be its sum."""
    writers = below(registry, actions)
    tables = {h.name: h.table for h in writers if isinstance(h, Observer | Commutative)}
    for row in stored.ledger.values():
        if row.key is not None and row.handler in tables and row.has_effect:
            identity = found.identities.get(row.id)
            at = stored.events[row.event].occurred_at
            found.sums.add(tables[row.handler], row.key, row.wrote, identity, at)


def _check_document(
    registry: Registry, stored: Stored, action: Fold, key: str, events: list[str], found: Checked
) -> None:
    """A fold's document, its temporal rows, and what its observers made of them."""
    folded = expected(stored, action, key, events)
    if folded.faults:
        event, error = next(iter(folded.faults.items()))
        why = f"{action.name} was run on {event} and fails now: {type(error).__name__}: {error}"
        found.findings.append(Unknown(action.table, key, why[:1000]))
        found.untold[action.name].add(key)
        return
    differences = [
        *document_differences(action, key, folded, stored.documents[action.table].get(key)),
        *row_differences(action, folded.new, stored.rows[action.history].get(key, ())),
    ]
    doubt = _doubt(stored, action, events) if differences else None
    if doubt:
        found.untold[action.name].add(key)
    if _tell(found, differences, doubt):
        found.folded[action.name, key] = events[0]
    for observer in registry.observers_below(action):
        for row in folded.new:
            _check_contribution(stored, observer, row, found, doubt)


def document_differences(
    action: Fold, key: str, folded: Folded, actual: Document | None
) -> Iterator[Difference]:
    """In what a fold's document is not what folding came to."""
    if folded.state is None:
        if actual is not None:
            yield Difference(action.table, key, Kind.UNEXPECTED)
        return
    sync = {"order": folded.order, "event_at": folded.event_at}
    document = {"_id": key, **folded.state, "_sync": sync}
    if actual is None:
        yield Difference(action.table, key, Kind.MISSING, expected=document)
    else:
        yield from _unlike(action.table, document, actual)


def row_differences(
    action: Fold, rows: list[Row], stored: Sequence[Document]
) -> Iterator[Difference]:
    """In what the temporal rows of a document are not what folding came to."""
    actual = {row["_id"]: row for row in stored}
    for row in rows:
        there = actual.pop(row.id, None)
        if there is None:
            yield Difference(action.history, row.id, Kind.MISSING)
        else:
            yield from _unlike(action.history, document_of(row, {}), there)
    for id_ in actual:
        yield Difference(action.history, id_, Kind.UNEXPECTED)


def _unlike(table: str, document: Document, actual: Document) -> Iterator[Difference]:
    for path, one, other in WRITTEN_WHOLE.unlike(document, actual):
        yield Difference(table, document["_id"], Kind.DIFFERENT, path, one, other)


def _check_contribution(
    stored: Stored, observer: Observer, row: Row, found: Checked, doubt: str | None
) -> None:
    """Hold what an observer makes of a row against the ledger; in doubt where the row is."""
    stood = stored.row(observer, row.event)
    if stood is None or not stood.has_effect or not stored.is_led(observer, row.event):
        return
    try:
        change = change_of(observer.root, row.event, row.transition)
        new = contribution(observer, change, stored.events[row.event])
    except Exception as error:  # noqa: BLE001 - whatever a handler raises
        _cannot_tell(stood, error, found)
        return
    _hold_against(stored, observer, stood, new, found, doubt)


def _check_additions(
    registry: Registry, stored: Stored, action: Commutative, found: Checked
) -> None:
    for event in stored.events.values():
        stood = stored.row(action, event.key)
        if stood is None or not stood.has_effect:
            continue
        if action not in registry.actions_for(event.type):
            continue
        try:
            new = addition(action, event)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises
            _cannot_tell(stood, error, found)
            continue
        _hold_against(stored, action, stood, new, found)


def _hold_against(
    stored: Stored,
    handler: Observer | Commutative,
    stood: LedgerRow,
    new: Contribution,
    found: Checked,
    doubt: str | None = None,
) -> None:
    """Hold a contribution against the ledger's."""
    if stood.key is not None and new.key == stood.key:
        found.identities[stood.id] = new.identity()
    differences = []
    if new.key != stood.key:
        differences.append(_ledger_difference(stood, "key", new.key, stood.key))
    if new.wrote != stood.wrote:
        one, other = new.wrote.to_stored(), stood.wrote.to_stored()
        differences.append(_ledger_difference(stood, "wrote", one, other))
    if not differences:
        return
    if _tell(found, differences, doubt or _doubt(stored, handler, [stood.event])):
        found.rows.add((handler.name, stood.event))


def _ledger_difference(row: LedgerRow, path: str, one: Any, other: Any) -> Difference:
    one, other = (ABSENT if value is None else value for value in (one, other))
    return Difference(LEDGER, row.id, Kind.DIFFERENT, path, one, other)


def _doubt(stored: Stored, handler: Handler, events: list[str]) -> str | None:
    """Why a difference in what a handler made of these events need not be wrong."""
    rows = (stored.row(handler, event) for event in events)
    versions = {row.version for row in rows if row is not None and row.has_effect}
    others = versions - {handler.version}
    if not others:
        return None
    return (
        f"written by version {min(others)} of {handler.name}, which is version "
        f"{handler.version} now, and they differ"
    )


def _tell(found: Checked, differences: list[Difference], doubt: str | None) -> bool:
    """Note differences, or only the doubt where there is one; whether something is wrong."""
    if differences and doubt:
        found.findings.append(Unknown(differences[0].table, differences[0].id, doubt))
        return False
    found.findings += differences
    return bool(differences)


def _cannot_tell(stood: LedgerRow, error: Exception, found: Checked) -> None:
    why = f"{stood.handler} was run on it and fails now: {type(error).__name__}: {error}"
    found.findings.append(Unknown(LEDGER, stood.id, why[:1000]))
