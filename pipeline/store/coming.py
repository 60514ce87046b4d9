"""What a ledger row keeps of an event that came out of order or was held back, as fields.

The rows of all others, which are most by far, have none of them and are in none of the indexes.
"""

from __future__ import annotations

from typing import Any, Final

from pymongo import ASCENDING, IndexModel

from pipeline.disorder import Disorder, Mark
from pipeline.holding import Held, HoldEnd

DISORDER: Final = "disorder_in_time"
HELD: Final = "held_by_document"
EVER_HELD: Final = {"held.seq": {"$gte": 0}}
"""Of rows of events that were ever held back; a condition that the index itself can check."""

INDEXES: Final = [
    # Prevents a scan when a person asks what came out of order, page by page, and a look
    # at the rows when it is only counted. Only rows with a mark are in it.
    IndexModel(
        [
            ("write_at", ASCENDING),
            ("_id", ASCENDING),
            ("tenant", ASCENDING),
            ("handler", ASCENDING),
            ("mark", ASCENDING),
            ("late_ms", ASCENDING),
        ],
        name=DISORDER,
        partialFilterExpression={"mark": {"$exists": True}},
    ),
    # Prevents a scan when an event has been applied and those that wait for it are looked
    # for, and when it is counted what waiting cost. Only events ever held back are in it.
    IndexModel(
        [
            ("handler", ASCENDING),
            ("key", ASCENDING),
            ("state", ASCENDING),
            ("tenant", ASCENDING),
            ("held.seq", ASCENDING),
            ("held.end", ASCENDING),
            ("held.ms", ASCENDING),
        ],
        name=HELD,
        partialFilterExpression=EVER_HELD,
    ),
]


def fields_of(found: Disorder | None, held: Held | None) -> dict[str, Any]:
    """The fields, without those that a default tells."""
    document: dict[str, Any] = {}
    if found is not None:
        document |= {"mark": found.mark.value, "seen": found.seen}
        if found.late_ms is not None:
            document["late_ms"] = found.late_ms
        if found.refolded:
            document["refolded"] = found.refolded
    if held is not None:
        waited: dict[str, Any] = {"since": held.since, "until": held.until, "seq": held.seq}
        if held.freed:
            waited["freed"] = True
        if held.end is not None:
            waited |= {"end": held.end.value, "ms": held.ms}
        document["held"] = waited
    return document


def disorder_of(doc: dict[str, Any]) -> Disorder | None:
    """What was wrong with the event's coming, by its row's fields; None where it was in order."""
    if "mark" not in doc:
        return None
    return Disorder(Mark(doc["mark"]), doc["seen"], doc.get("late_ms"), doc.get("refolded", 0))


def held_of(doc: dict[str, Any]) -> Held | None:
    """How the event was held back, by its row's fields; None where it was not."""
    held = doc.get("held")
    if held is None:
        return None
    end = HoldEnd(held["end"]) if "end" in held else None
    freed = held.get("freed", False)
    return Held(held["since"], held["until"], held["seq"], freed, end, held.get("ms"))
