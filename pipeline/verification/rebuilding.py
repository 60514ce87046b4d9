"""Bringing documents of folds, their rows and contributions to what their events come to.

In the transactions and by the means that any other work uses: what observers contributed is
corrected as a heal does, new contribution minus old.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pipeline.declarations import Action, Commutative, Fold
from pipeline.executor.correcting import Corrections, Move
from pipeline.executor.deriving import Contribution, addition
from pipeline.executor.healing import Case, Healer, Site
from pipeline.executor.rewriting import document_of
from pipeline.folding import Folded
from pipeline.replay import Kind
from pipeline.store import Batch, EventRecord
from pipeline.tables import Document
from pipeline.verification.checking import (
    Checked,
    by_key,
    check,
    document_differences,
    expected,
    row_differences,
)
from pipeline.verification.stored import Handled, Stored, read


class Rebuilt(NamedTuple):
    """What became of what was wrong.

    Attributes:
        following: batches to enqueue, of what had been lost.
        left: of how many things nothing could be made: what they follow from can't be told.
    """

    following: list[Batch]
    left: int


def rebuild(site: Site, found: Mapping[str, EventRecord], actions: Collection[Action]) -> Rebuilt:
    """Bring what is known to be wrong to what events come to, and nothing else.

    What can't be told stays as it is, and keeps nothing else from being put right.

    Args:
        site: where and in which run.
        found: all events that the documents of these actions are made of.
        actions: what is put right, with all below.
    """
    stored = read(site.tx, site.registry, found, actions)
    checked = check(site.registry, stored, actions)
    if not checked.wrong:
        return Rebuilt([], 0)
    lost = _take_up(site, stored, checked, actions)
    left = checked.rows - {(batch.handler, *batch.events) for batch in lost}
    for action in actions:
        if isinstance(action, Fold):
            for key, events in by_key(stored, action).items():
                left -= _refold(site, stored, checked, action, key, events, found)
        elif isinstance(action, Commutative):
            left -= _add_again(site, stored, checked, action)
    return Rebuilt(lost, len(left))


def _refold(
    site: Site,
    stored: Stored,
    checked: Checked,
    action: Fold,
    key: str,
    events: list[str],
    found: Mapping[str, EventRecord],
) -> set[Handled]:
    """Write what the events of one document make of it; the observers' rows put right with it."""
    observers = [observer.name for observer in site.registry.observers_below(action)]
    wrong = {(o, e) for e in events for o in observers if (o, e) in checked.rows}
    is_wrong = (action.name, key) in checked.folded
    if key in checked.untold[action.name] or not (is_wrong or wrong):
        return set()
    folded = expected(stored, action, key, events)
    if is_wrong:
        _write(site, stored, action, key, folded)
    rows = {row.event: row for row in folded.new}
    asked_for = dict.fromkeys(event for event in events for o in observers if (o, event) in wrong)
    cases = [Case(found[event], rows.get(event), None, event) for event in asked_for]
    if cases:
        Healer(site, action, wrong).heal(cases)
    return wrong


def _write(site: Site, stored: Stored, action: Fold, key: str, folded: Folded) -> None:
    """Write the document and its rows where they are not what folding came to."""
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


def _sound(document: Document | None) -> Document | None:
    """The document, if its fence and numbers can be taken over; None where they were spoilt."""
    sync = document.get("_sync") if document else None
    if not isinstance(sync, dict) or not isinstance(sync.get("fence", 0), int):
        return None
    return document if isinstance(sync.get("numbers", []), list) else None


def _add_again(site: Site, stored: Stored, checked: Checked, action: Commutative) -> set[Handled]:
    """Correct what a commutative action had added; the rows that were.

    Raises:
        UpdateError: a document can't take it.
    """
    corrections = Corrections(site.tx, site.registry, site.run, site.contested)
    rows = []
    for handler, event in sorted(checked.rows):
        stood = stored.row(action, event)
        if handler != action.name or stood is None:
            continue
        new = addition(action, stored.events[event])
        old = Contribution(stood.key, stood.wrote)
        at = stored.events[event].occurred_at
        refused = corrections.add(action.table, [Move(event, at, old, new)])
        if refused:
            raise refused[event]
        rows.append(stood.with_contribution(*new[:2], action.version))
    site.tx.ledger.put(rows)
    corrections.write()
    return {(row.handler, row.event) for row in rows}


def _take_up(
    site: Site, stored: Stored, checked: Checked, actions: Collection[Action]
) -> list[Batch]:
    """Put lost actions into the outbox; the heal runs lost observers, and nobody lost effects."""
    lost = [
        Batch.of(action.name, [event], action.lane)
        for action in actions
        for event in stored.events
        if (action.name, event) in checked.rows and stored.row(action, event) is None
    ]
    now = site.run.write_at
    site.tx.batches.requeue(lost, created_at=now, due_at=now)
    return lost
