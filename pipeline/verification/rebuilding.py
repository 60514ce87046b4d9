"""Bringing documents of folds, their rows and contributions to what their events come to.

In the transactions and by the means that any other work uses: what observers contributed is
corrected as a heal does, new contribution minus old.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pipeline.declarations import Action, Commutative, Effect, Fold
from pipeline.executor.correcting import Corrections, Move
from pipeline.executor.deriving import Contribution, addition
from pipeline.executor.healing import Case, Healer, Site
from pipeline.executor.rewriting import document_of
from pipeline.replay import Kind
from pipeline.store import Batch, EventRecord
from pipeline.store.ledger import row_id
from pipeline.tables import Document
from pipeline.verification.checking import (
    Checked,
    by_key,
    check,
    document_differences,
    expected,
    row_differences,
)
from pipeline.verification.stored import Stored, asked, read


def rebuild(
    site: Site, found: Mapping[str, EventRecord], actions: Collection[Action]
) -> list[Batch]:
    """Bring what is wrong to what events come to, and nothing else.

    Args:
        site: where and in which run.
        found: all events that the documents of these actions are made of.
        actions: what is put right, with all below.

    Returns:
        Batches to enqueue, of what had been lost.
    """
    stored = read(site.tx, site.registry, found, actions)
    checked = check(site.registry, stored, actions)
    if not checked.wrong:
        return []
    for action in actions:
        if isinstance(action, Fold):
            for key, events in by_key(stored, action).items():
                _refold(site, stored, checked, action, key, events, found)
        elif isinstance(action, Commutative):
            _add_again(site, stored, checked, action)
    return _take_up(site, stored, actions)


def _refold(
    site: Site,
    stored: Stored,
    checked: Checked,
    action: Fold,
    key: str,
    events: list[str],
    found: Mapping[str, EventRecord],
) -> None:
    """Write what the events of one document make of it, where that is not what is there."""
    folded = expected(stored, action, key, events)
    if folded.faults:
        return
    document = stored.documents[action.table].get(key)
    if list(document_differences(action, key, folded, document)):
        table = site.tx.table(action.table)
        if folded.order is None:
            table.remove([key])
        else:
            table.replace([document_of(folded, site.run, _sound(document))])
    wrong = row_differences(action, folded.new, stored.rows[action.history].get(key, ()))
    kinds: dict[str, Kind] = {one.id: one.kind for one in wrong}
    history = site.tx.history(action.history)
    history.remove([id_ for id_, kind in kinds.items() if kind is Kind.UNEXPECTED])
    history.write(
        new=[row for row in folded.new if kinds.get(row.id) is Kind.MISSING],
        rewritten=[row for row in folded.new if kinds.get(row.id) is Kind.DIFFERENT],
        removed=(),
        closed={},
        stamp=site.run.stamp,
    )
    cases = [
        Case(found[row.event], row, row, row.event)
        for row in folded.new
        if row.event in checked.wrong or row.id in kinds
    ]
    if cases:
        Healer(site, action).heal(cases)


def _sound(document: Document | None) -> Document | None:
    """The document, if its fence and numbers can be taken over; None where they were spoilt."""
    sync = document.get("_sync") if document else None
    if not isinstance(sync, dict) or not isinstance(sync.get("fence", 0), int):
        return None
    return document if isinstance(sync.get("numbers", []), list) else None


def _add_again(site: Site, stored: Stored, checked: Checked, action: Commutative) -> None:
    """Correct what a commutative action had added."""
    corrections = Corrections(site.tx, site.registry, site.run, site.contested)
    rows = []
    for event in checked.wrong:
        stood = stored.row(action, event)
        if stood is None or not stood.has_effect:
            continue
        new = addition(action, stored.events[event])
        old = Contribution(stood.key, stood.wrote)
        at = stored.events[event].occurred_at
        if not corrections.add(action.table, [Move(event, at, old, new)]):
            rows.append(stood.with_contribution(*new[:2], action.version))
    site.tx.ledger.put(rows)
    corrections.write()


def _take_up(site: Site, stored: Stored, actions: Collection[Action]) -> list[Batch]:
    """Put what had been lost into the outbox; lost observers have been run by the heal."""
    lost = [
        Batch.of(handler.name, [event.key], handler.lane)
        for event in stored.events.values()
        for handler in asked(site.registry, event, actions)
        if isinstance(handler, Action | Effect)
        and row_id(event.key, handler.name) not in stored.ledger
        and stored.is_led(handler, event.key)
        and (handler.name, event.key) not in stored.waiting
    ]
    now = site.run.write_at
    site.tx.batches.requeue(lost, created_at=now, due_at=now)
    return lost
