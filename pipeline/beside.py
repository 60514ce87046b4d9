"""An event's payload beside that of another event of the same entity."""

from __future__ import annotations

from typing import Any, NamedTuple

from pipeline.differing import Differences, differences
from pipeline.event import Event
from pipeline.store import EventRecord, Store


class Beside(NamedTuple):
    """What is different in an event, seen from another one.

    Attributes:
        other: the event it is held against: the one before it, or one that a person named;
            None where there is none of this entity.
        found: what differs, from the other one to it; None where there is no other.
    """

    other: EventRecord | None
    found: Differences | None


def beside(store: Store, event: Event, against: str = "") -> Beside:
    """Hold an event's payload against that of another.

    Args:
        store: where they are.
        event: the event.
        against: id or key of another event of its entity; empty for the one that comes before
            it in the order of events.
    """
    events = store.records.events
    if against:
        named = events.load(events.keys_of(against)).values()
        others = [
            one
            for one in named
            if (one.event.tenant, one.event.entity_id) == (event.tenant, event.entity_id)
        ]
        other = others[0] if others else None
    else:
        other = events.one_before(event)
    if other is None:
        return Beside(None, None)
    return Beside(other, differences(other.event.payload, event.payload))


def as_json(one: Beside) -> dict[str, Any]:
    """The same for programs."""
    if one.other is None or one.found is None:
        return {"against": None, "differences": None}
    told = one.found
    return {
        "against": one.other.event.key,
        "differences": [each._asdict() for each in told.told],
        "more": told.more,
        "cut": told.cut,
    }
