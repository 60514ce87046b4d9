"""Point in time: documents as they stood, and what happened to one of them."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.errors import NotFound, PipelineError
from pipeline.event import Event
from pipeline.querying import as_of, history, query
from pipeline.temporal import Row
from tests.facts import NOON, Document, fact
from tests.integration.harness import Harness
from tests.integration.sample_handlers import Ticket, apply_ticket

OWNERS = ("ann", "bob", "cid")
# One is the beginning of another, one looks like a row's id, one is escaped elsewhere.
ENTITIES = ("T1", "T10", "T1|2024-05-01T12:02:00.000", "T1:x", "T%3A", "T}", "Té")
TENANTS = ("acme", "acme2", "acm", "acme-x", "acme.x")


def past(harness: Harness, moment: datetime, **options: Any) -> dict[str, Document]:
    """The tickets as they stood, by id."""
    rows = as_of(harness.store, harness.registry, "tickets", moment, **({"limit": 500} | options))
    found = {row["_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def story(harness: Harness, key: str = "acme:T1", **options: Any) -> list[Row]:
    """What happened to a ticket."""
    return history(harness.store, harness.registry, "tickets", key, **options)


def at(minute: float) -> datetime:
    """So many minutes past noon."""
    return NOON + timedelta(minutes=minute)


def shuffled_tickets(harness: Harness, seed: int) -> list[Event]:
    """Process events with many ties in time, in disorder and a tenth twice; return them once."""
    draw = random.Random(seed)
    events = [
        fact(
            f"e{n}",
            draw.randrange(6),
            tenant=draw.choice(TENANTS),
            entity_id=draw.choice(ENTITIES),
            seq=draw.choice((None, draw.randrange(20))),
            owner=draw.choice(OWNERS),
            add=draw.randrange(5),
        )
        for n in range(300)
    ]
    arriving = events + draw.sample(events, 30)
    draw.shuffle(arriving)
    for start in range(0, len(arriving), 40):
        harness.process(*arriving[start : start + 40])
    return events


def recalculated(events: list[Event], moment: datetime) -> dict[str, Document]:
    """Each ticket's fields after all its events up to the moment, by the handler alone."""
    told: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.occurred_at <= moment:
            told[f"{event.tenant}:{event.entity_id}"].append(event)
    found = {}
    for key, those in told.items():
        ticket: Ticket | None = None
        for event in sorted(those, key=sequence):
            ticket = apply_ticket(ticket, event)
        assert ticket is not None
        found[key] = ticket.stored()
    return found


def sequence(event: Event) -> tuple[datetime, int, str]:
    """Time, then the source's sequence (none first), then the key."""
    return event.occurred_at, -1 if event.seq is None else event.seq, event.key


def fields(documents: dict[str, Document]) -> dict[str, Document]:
    """The documents' own fields."""
    return {
        key: {name: value for name, value in document.items() if name not in ("_id", "_sync")}
        for key, document in documents.items()
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_the_past_equals_a_recalculation_from_the_events_up_to_then(
    harness: Harness, seed: int
) -> None:
    """At every moment with events, between them, and before and after all, whole and by tenant."""
    events = shuffled_tickets(harness, seed)
    for minute in (-1, 0, 0.5, 1, 2, 2.999, 3, 4, 5, 6000):
        expected = recalculated(events, at(minute))
        assert fields(past(harness, at(minute))) == expected
        for tenant in TENANTS:
            of_tenant = {k: v for k, v in expected.items() if k.partition(":")[0] == tenant}
            assert fields(past(harness, at(minute), tenant=tenant)) == of_tenant
        for tenant in TENANTS[:2]:
            for entity in ENTITIES:
                key = f"{tenant}:{entity}"
                alone = {key: expected[key]} if key in expected else {}
                assert fields(past(harness, at(minute), key=key)) == alone


def test_the_past_of_now_is_the_table(harness: Harness) -> None:
    """And the stamps tell the same last event."""
    shuffled_tickets(harness, 3)
    now = query(harness.store, harness.registry, "tickets", limit=500)
    then = past(harness, harness.clock.now())
    assert fields(then) == fields({row["_id"]: row for row in now})
    for row in now:
        sync = then[row["_id"]]["_sync"]
        assert (sync["order"], sync["event_at"]) == (
            row["_sync"]["order"],
            row["_sync"]["event_at"],
        )
        assert sync["valid_to"] is None


def test_an_event_counts_from_its_very_moment_on(harness: Harness) -> None:
    """Not a microsecond before; and of two at one moment the later one in order."""
    harness.process(fact("e1", 1, status="open"), fact("e2", 2, status="held", seq=1))
    harness.process(fact("e3", 2, status="shut", seq=2))
    moments = {
        at(1) - timedelta(microseconds=1): None,
        at(1): "open",
        at(1) + timedelta(microseconds=1): "open",
        at(2) - timedelta(microseconds=1): "open",
        at(2): "shut",
    }
    for moment, status in moments.items():
        for options in ({}, {"key": "acme:T1"}, {"tenant": "acme"}):
            found = past(harness, moment, **options)
            assert [row["status"] for row in found.values()] == ([status] if status else [])


def test_the_ends_of_time_are_moments_too(harness: Harness) -> None:
    """Before the first and after the last that an event can have."""
    harness.process(fact("e1"))
    for options in ({}, {"key": "acme:T1"}):
        assert past(harness, datetime.min.replace(tzinfo=UTC), **options) == {}
        assert list(past(harness, datetime.max.replace(tzinfo=UTC), **options)) == ["acme:T1"]
    assert story(harness, since=datetime.max.replace(tzinfo=UTC)) == []
    assert len(story(harness, until=datetime.max.replace(tzinfo=UTC))) == 1


def test_a_late_event_changes_what_was_then(harness: Harness) -> None:
    """The past is that of the facts, not of when we came to know them."""
    harness.process(fact("e1", 1, status="open", points=1), fact("e3", 3, points=3))
    assert past(harness, at(2))["acme:T1"]["points"] == 1
    harness.process(fact("e2", 2, points=2))
    assert past(harness, at(2))["acme:T1"]["points"] == 2


def test_conditions_hold_for_the_fields_as_they_were(harness: Harness) -> None:
    """Also for the id and the stamps that the past has."""
    harness.process(
        *(fact(f"a{n}", n, entity_id=f"T{n}", owner="ann") for n in (1, 2)),
        *(fact(f"b{n}", n + 5, entity_id=f"T{n}", owner="bob") for n in (1, 2)),
    )
    for conditions, minute, expected in (
        (("owner=ann",), 4, ["acme:T1", "acme:T2"]),
        (("owner=ann",), 6, ["acme:T2"]),
        (("owner=bob",), 6, ["acme:T1"]),
        (("_id=acme:T2",), 4, ["acme:T2"]),
        (("_sync.event_at>2024-05-01T12:01:00Z",), 4, ["acme:T2"]),
        (("_sync.valid_to=null",), 6, ["acme:T1"]),
    ):
        assert list(past(harness, at(minute), conditions=conditions)) == expected
    assert past(harness, at(6), key="acme:T1", conditions=("owner=ann",)) == {}
    with pytest.raises(PipelineError, match=r"knows no _sync\.read_at"):
        past(harness, at(4), conditions=("_sync.read_at>2024-05-01",))


def test_a_limit_bounds_the_documents_of_the_past(harness: Harness) -> None:
    """So many documents, not rows."""
    harness.process(*(fact(f"e{n}", n, entity_id=f"T{n % 5}") for n in range(20)))
    assert len(past(harness, at(30), limit=3)) == 3


def test_a_table_without_a_past_is_refused_with_those_that_have_one(harness: Harness) -> None:
    """Derived tables, temporal ones themselves, and tables that are none."""
    looked = harness.store, harness.registry
    with pytest.raises(PipelineError, match=r"derived.* those of labels, tickets are kept"):
        as_of(*looked, "owner_totals", NOON)
    with pytest.raises(PipelineError, match="is the history of tickets; ask for that one"):
        history(*looked, "tickets_changes", "acme:T1")
    with pytest.raises(NotFound, match=r"did you mean 'tickets'\?"):
        as_of(*looked, "tikets", NOON)
    with pytest.raises(PipelineError, match="no tenant's name"):
        as_of(*looked, "tickets", NOON, tenant="acme:T")


def test_a_history_tells_what_each_event_changed(harness: Harness) -> None:
    """Old and new values, from when to when, in the order of the events and not of arrival."""
    harness.process(fact("e3", 3, owner="bob", status="open"))
    harness.process(fact("e1", 1, status="open", add=1))
    harness.process(fact("e2", 2))
    told = [(row.event, row.moves, row.valid_from, row.valid_to) for row in story(harness)]
    first = {"status": (None, "open"), "owner": (None, "nobody"), "points": (None, 1)}
    assert told == [
        ("e1@acme/desk", first | {"due": (None, None), "note": (None, "")}, at(1), at(2)),
        ("e2@acme/desk", {}, at(2), at(3)),
        ("e3@acme/desk", {"owner": ("nobody", "bob")}, at(3), None),
    ]


def test_a_history_is_asked_for_between_two_moments(harness: Harness) -> None:
    """The first one included, the last one not; and never more than the limit."""
    harness.process(*(fact(f"e{n}", n) for n in range(6)))
    harness.process(fact("other", 2, entity_id="T1|2024-05-01T12:02:00.000~-~z"))
    minutes = {
        (None, None, 10): [0, 1, 2, 3, 4, 5],
        (2, None, 10): [2, 3, 4, 5],
        (None, 2, 10): [0, 1],
        (2, 4, 10): [2, 3],
        (2.00001, 4.00001, 10): [3, 4],
        (1, None, 2): [1, 2],
        (9, None, 2): [],
    }
    for (since, until, limit), expected in minutes.items():
        rows = story(
            harness,
            since=None if since is None else at(since),
            until=None if until is None else at(until),
            limit=limit,
        )
        assert [row.valid_from for row in rows] == [at(minute) for minute in expected]


def test_a_document_that_never_was_has_no_history(harness: Harness) -> None:
    """It is told from one that nothing happened to in a time."""
    harness.process(fact("e1", 1))
    assert story(harness, since=at(2)) == []
    with pytest.raises(NotFound, match="never had a document 'T1'; ids begin with the tenant"):
        story(harness, "T1")
