"""Writing what folding came to: documents, temporal rows, and all that is derived from them.

The same for events that come, late or not, and for events that are taken out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from pipeline.declarations import Fold
from pipeline.executor.healing import Case, Healer, Site
from pipeline.executor.plan import Run
from pipeline.folding import Folded
from pipeline.numbering import Stored
from pipeline.store import EventRecord, LedgerState
from pipeline.temporal import Row

Document = dict[str, Any]
NO_NUMBERS: Final[Mapping[str, Stored]] = MappingProxyType({})


def rewrite(
    site: Site,
    action: Fold,
    changed: Sequence[Folded],
    documents: Mapping[str, Document],
    known: Mapping[str, EventRecord],
    without: Sequence[str] = (),
    numbers: Mapping[str, Stored] = NO_NUMBERS,
) -> Healer | None:
    """Bring documents, temporal rows and contributions to what folding came to.

    Args:
        site: where and in which run.
        action: the fold.
        changed: what came of each document that has something to write.
        documents: these documents as they stand, by key.
        known: by key, the events of all rows that were read.
        without: keys of the events that were taken out.
        numbers: by key, the numbers that documents have seen with these events, where they
            are kept. What is taken out has been seen all the same; where the document goes with
            it, the note on the event tells so, and is read when the document begins anew.

    Returns:
        What was corrected in derived documents; None where nothing had to be.

    Raises:
        UpdateError: a derived document can't be without what is to be taken off it.
    """
    table = site.tx.table(action.table)
    table.replace(
        [
            document_of(folded, site.run, documents.get(folded.key), numbers.get(folded.key))
            for folded in changed
            if folded.order
        ]
    )
    table.remove([folded.key for folded in changed if not folded.order])
    site.tx.history(action.history).write(
        new=[row for folded in changed for row in folded.new],
        rewritten=[row for folded in changed for row in folded.rewritten],
        removed=[row for folded in changed for row in folded.removed],
        closed={row: end for folded in changed for row, end in folded.closed.items()},
        stamp=site.run.stamp,
    )
    cases = [case for folded in changed for case in _cases(folded, known, without)]
    if not cases:
        return None
    healer = Healer(site, action)
    healer.heal(cases)
    return healer


def fence_of(document: Document | None) -> int:
    """The fence under which the document was written last; 0 where there was none."""
    return 0 if document is None else document["_sync"].get("fence", 0)


def _cases(folded: Folded, known: Mapping[str, EventRecord], without: Sequence[str]) -> list[Case]:
    """The rows whose change is another now, or is gone."""
    if not folded.stood:
        return []
    cause = without[0] if without else next(iter(folded.wrote))
    rows: dict[str, Row] = {row.event: row for row in folded.affected}
    return [
        Case(
            known[event],
            rows.get(event),
            stood,
            cause,
            LedgerState.VOIDED if event in without else LedgerState.WAITING,
        )
        for event, stood in folded.stood.items()
    ]


def document_of(
    folded: Folded, run: Run, stood: Document | None, numbers: Stored | None = None
) -> Document:
    """The document as it is to be written, under no lower fence and with no fewer numbers."""
    sync: Document = {"order": folded.order, "event_at": folded.event_at, **run.stamp}
    fence = max(fence_of(stood), run.fence or 0)
    if fence:
        sync["fence"] = fence
    if numbers is None and stood is not None:
        numbers = stood["_sync"].get("numbers")
    if numbers is not None:
        sync["numbers"] = numbers
    return {"_id": folded.key, **(folded.state or {}), "_sync": sync}
