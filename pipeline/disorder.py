"""What an event finds when it comes: whether its document had seen later ones, or lacks one.

Pure. Events are looked at in the order in which they came, so what is found does not depend
on how they fell into batches. In order is what needs no word; of the rest each event has one
mark, the first of these that fits:

late    it happened before the newest event that its document had seen
tie     at the same moment as that one, and no number of their source puts it after it
gap     the source numbers the events of a document, and the number before it has not come

A gap may be closed later; the mark says what was found then. Copies of an event are turned
away where events come in, and never get here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from pipeline.event import Event, key_of_order, number_of_order, source_of
from pipeline.numbering import Numbering

_MILLISECOND: Final = timedelta(milliseconds=1)


class Mark(StrEnum):
    """In which way an event was not in order."""

    LATE = "late"
    TIE = "tie"
    GAP = "gap"


class Disorder(NamedTuple):
    """What was wrong with an event's coming.

    Attributes:
        mark: in which way.
        seen: key of the newest event that the document had seen; None where it had none.
        late_ms: how much earlier it happened than that one; None for a gap.
        refolded: how many later rows of the document were folded again, together with other
            events of its batch.
    """

    mark: Mark
    seen: str | None
    late_ms: int | None = None
    refolded: int = 0


class Newest(NamedTuple):
    """Order and time of the newest event that a document had seen."""

    order: str
    at: datetime


def find_disorder(
    arrived: Iterable[Event], newest: Newest | None, numbering: Numbering | None = None
) -> dict[str, Disorder]:
    """What was wrong with the events of one document, by event key; those in order are absent.

    Args:
        arrived: the events, in the order in which they came.
        newest: the newest event that was there before them, if there was one.
        numbering: the numbers that were there before them, where the source numbers its
            events; those of the events are added to it.
    """
    found: dict[str, Disorder] = {}
    order, at = newest or ("", None)
    for event in arrived:
        if at is not None and event.order < order:
            behind = (at - event.occurred_at) // _MILLISECOND
            mark = Mark.LATE if behind else Mark.TIE
            found[event.key] = Disorder(mark, key_of_order(order), behind)
        else:
            if event.occurred_at == at and not _numbered_after(event, order):
                found[event.key] = Disorder(Mark.TIE, key_of_order(order), 0)
            elif numbering is not None and numbering.lacks(event):
                found[event.key] = Disorder(Mark.GAP, key_of_order(order) if order else None)
            order, at = event.order, event.occurred_at
        if numbering is not None:
            numbering.add(event)
    return found


def _numbered_after(event: Event, order: str) -> bool:
    """Whether the source itself says, by its numbers, that the event comes after this order."""
    number = number_of_order(order)
    if event.seq is None or number is None:
        return False
    return event.seq > number and event.source == source_of(key_of_order(order))
