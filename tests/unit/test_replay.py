"""The sequential run in memory: its tables are spelled out by hand here."""

import gc
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime

from pipeline import (
    Change,
    Event,
    State,
    Update,
    action,
    add_to_set,
    inc,
    maximum,
    observer,
    set_on_insert,
)
from pipeline.declarations import Action, Handler
from pipeline.registry import Registry
from pipeline.replay import Tables, replay
from pipeline.tables import Document, as_stored
from pipeline.temporal import row_id
from tests.facts import NOON, fact


class Ticket(State):
    """Whose it is, what it is worth, and when it is due."""

    owner: str = "nobody"
    points: int = 0
    due: AwareDatetime | None = None
    tags: tuple[str, ...] = ()


def fail_if_told(handler: str, event: Event) -> None:
    """Raise where the event's payload names the handler."""
    if handler in event.payload.get("fails", ()):
        raise RuntimeError(f"told to fail in {handler}")


@action("tickets.apply", on="ticket.*", table="tickets", key="{tenant}:{entity_id}")
def apply_ticket(state: Ticket | None, event: Event) -> Ticket:
    """What the payload names is taken over, and `add` is added."""
    fail_if_told("tickets.apply", event)
    said = event.payload
    state = state or Ticket()
    due = said.get("due")
    return state.replace(
        owner=said.get("owner", state.owner),
        points=state.points + said.get("add", 0),
        due=datetime.fromisoformat(due) if due else state.due,
        tags=tuple(said.get("tags", state.tags)),
    )


@observer("owners.count", after=apply_ticket, table="owners", key="{tenant}:{after.owner}")
def count_owner(change: Change[Ticket], event: Event) -> Update | None:
    """What an owner's tickets went through."""
    fail_if_told("owners.count", event)
    if change.before == change.after:
        return None
    return inc({"changes.all": 1}) | maximum(most=change.after.points) | add_to_set(tags=event.type)


@observer("tenants.count", after=count_owner, table="tenants", key="{tenant}")
def count_tenant(change: Change[Ticket], event: Event) -> Update:
    """How many changes, below the owners'."""
    fail_if_told("tenants.count", event)
    return inc(changes=1)


@observer("seen.count", after=apply_ticket, table="seen", key="{tenant}")
def count_seen(_change: Change[Ticket], event: Event) -> Update:
    """How many changes, beside the owners'."""
    fail_if_told("seen.count", event)
    return inc(changes=1)


@action("pages.count", on=("page.*", "ticket.viewed"), table="pages", key="{tenant}:{payload.page}")
def count_page(event: Event) -> Update | None:
    """Views of a page."""
    fail_if_told("pages.count", event)
    return inc(views=1) if event.type != "page.ignored" else None


ALL: tuple[Handler, ...] = (apply_ticket, count_owner, count_tenant, count_seen, count_page)


def run(*events: Event, handlers: tuple[Handler, ...] = ALL) -> Tables:
    """Replay these events."""
    return replay(Registry(handlers), events)


def everything(tables: Tables) -> dict[str, dict[str, Document]]:
    """All documents of all tables."""
    return {name: tables.documents(name) for name in tables}


FIRST = fact("e1", 1, owner="ann", add=5)
SECOND = fact("e2", 2, add=2, due="2024-07-01T12:00:00.123456+02:00", tags=["a"])
THIRD = fact("e3", 3, owner="bob")
DUE = datetime(2024, 7, 1, 10, 0, 0, 123000, UTC)


def test_a_fold_leaves_its_document_with_the_last_events_stamp() -> None:
    """In the form in which MongoDB would give it back."""
    assert run(FIRST, SECOND, THIRD).documents("tickets") == {
        "acme:T1": {
            "_id": "acme:T1",
            "owner": "bob",
            "points": 7,
            "due": DUE,
            "tags": ["a"],
            "_sync": {"order": THIRD.order, "event_at": THIRD.occurred_at},
        }
    }


def test_a_fold_leaves_a_row_for_each_event_and_they_meet() -> None:
    """Each with the old values of what it changed, and the order of the one before."""
    rows = run(FIRST, SECOND, THIRD).documents("tickets_changes")
    assert list(rows.values()) == [
        {
            "_id": row_id("acme:T1", event.order),
            "key": "acme:T1",
            "event": event.key,
            "prev": before.order if before else None,
            "valid_from": event.occurred_at,
            "valid_to": after.occurred_at if after else None,
            "state": {"owner": owner, "points": points, "due": due, "tags": tags},
            "changed": changed,
            "_sync": {"event_at": event.occurred_at},
        }
        for before, event, after, (owner, points, due, tags), changed in (
            (None, FIRST, SECOND, ("ann", 5, None, []), None),
            (FIRST, SECOND, THIRD, ("ann", 7, DUE, ["a"]), {"points": 5, "due": None, "tags": []}),
            (SECOND, THIRD, None, ("bob", 7, DUE, ["a"]), {"owner": "ann"}),
        )
    ]
    assert list(rows) == [row["_id"] for row in rows.values()]


def test_observers_leave_sums_with_what_their_key_is_made_of() -> None:
    """And with how many contributions there are, and when the latest was."""
    assert run(FIRST, SECOND, THIRD).documents("owners") == {
        "acme:ann": {
            "_id": "acme:ann",
            "tenant": "acme",
            "owner": "ann",
            "changes": {"all": 2},
            "most": 7,
            "tags": ["ticket.changed"],
            "_sync": {"contributions": 2, "event_at": SECOND.occurred_at},
        },
        "acme:bob": {
            "_id": "acme:bob",
            "tenant": "acme",
            "owner": "bob",
            "changes": {"all": 1},
            "most": 7,
            "tags": ["ticket.changed"],
            "_sync": {"contributions": 1, "event_at": THIRD.occurred_at},
        },
    }


def test_an_event_goes_through_every_action_that_asks_for_it() -> None:
    """Through none where none does."""
    viewed = fact("e1", type="ticket.viewed", page="home")
    tables = run(viewed, fact("p1", type="page.ignored", page="home"), fact("x1", type="other"))
    assert tables.documents("pages")["acme:home"]["views"] == 1
    assert len(tables["tickets_changes"]) == 1
    assert (tables.events, tables.failures) == (3, [])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_submission_does_not_matter(minutes: list[int], draw: random.Random) -> None:
    """Events are run in their own order, ties by sequence and key."""
    events = [
        fact(f"e{n}", minute, seq=draw.choice([None, 9, 10]), add=n, owner=draw.choice("ab"))
        for n, minute in enumerate(minutes)
    ]
    expected = everything(run(*sorted(events, key=lambda event: event.order)))
    draw.shuffle(events)
    assert everything(run(*events)) == expected


def test_of_several_events_with_one_key_the_first_submitted_counts() -> None:
    """Whatever the others say, and however often they come."""
    other = fact("e1", 0, owner="eve", add=100)
    tables = run(FIRST, other, SECOND, FIRST, other)
    assert everything(tables) == everything(run(FIRST, SECOND))
    assert (tables.events, tables.repeated) == (2, 3)


def test_the_same_id_of_another_tenant_or_source_is_another_event() -> None:
    """Its identity is the key."""
    tables = run(fact("e1", add=1), fact("e1", add=1, source="shop"), fact("e1", tenant="beta"))
    assert (tables.events, len(tables["tickets_changes"])) == (3, 3)


def single(function: Callable[[Event], Any], key: str = "{tenant}") -> Action:
    """A commutative action that calls this function."""

    def count(event: Event) -> Update | None:
        return function(event)  # type: ignore[no-any-return]

    return action("sums.count", on="*", table="sums", key=key)(count)


def test_every_document_is_as_it_would_come_back_from_mongodb() -> None:
    """Down to types."""
    count = single(lambda _: inc(n=Decimal("1.50")) | maximum(at=NOON) | add_to_set(of=[{"a": 1}]))
    events = [FIRST, SECOND, THIRD, fact("e4", 4, n=0)]
    tables = run(*events, handlers=(apply_ticket, count_owner, count))
    for documents in everything(tables).values():
        for document in documents.values():
            assert repr(as_stored(document)) == repr(document).replace(
                "datetime.timezone.utc", "FixedOffset(datetime.timedelta(0), 'UTC')"
            )


def test_a_document_is_found_by_its_id_and_so_is_a_row() -> None:
    """Also where ids hold the sign that joins them."""
    events = [fact(f"e|{n}", n, entity_id=entity) for n in range(3) for entity in ("T|1", "T")]
    tables = run(*(event.model_copy(update={"source": event.entity_id[-1]}) for event in events))
    for name in tables:
        for token, document in tables[name].entries():
            assert tables[name].find(document["_id"]) == (token, document)
        assert len(tables[name]) == len(tables.documents(name))
        for absent in ("", "acme", "acme:T|", "acme:T|2024", "acme:T|1|z", "none|a|b"):
            assert absent in tables.documents(name) or tables[name].find(absent) is None


def test_names_that_an_item_goes_by_are_unique_in_its_table() -> None:
    """A comparison ticks them off."""
    events = [fact(f"e{n}", n % 2, entity_id=f"T{n % 3}") for n in range(9)]
    tables = run(*events)
    for name in tables:
        tokens = [token for token, _ in tables[name].entries()]
        assert len(set(tokens)) == len(tokens)


def test_a_table_with_two_writers_holds_what_both_add() -> None:
    """And is made with the fields of whoever comes first."""
    other = action("more.count", on="*", table="sums", key="{tenant}")(lambda _event: inc(m=2))
    tables = run(fact("e1"), fact("e2", 1), handlers=(single(lambda _: inc(n=1)), other))
    (document,) = tables.documents("sums").values()
    assert (document["n"], document["m"], document["_sync"]["contributions"]) == (2, 4, 4)


def test_what_a_document_is_made_with_is_set_once() -> None:
    """By the first event in order."""
    count = single(lambda event: set_on_insert(by=event.event_id) | inc(n=1))
    tables = run(fact("e2", 2), fact("e1", 1), handlers=(count,))
    assert tables.documents("sums")["acme"]["by"] == "e1"


def test_a_table_tells_by_which_operators_its_fields_came() -> None:
    """At any depth; a comparison asks."""
    tables = run(FIRST, SECOND, THIRD)
    told = tables["owners"].operators
    assert told is not None
    assert {path: told(path) for path in ("changes.all", "most", "tags", "owner", "none")} == {
        "changes.all": {"inc"},
        "most": {"max"},
        "tags": {"add_to_set"},
        "owner": {"set_on_insert"},
        "none": set(),
    }
    assert tables["tickets"].operators is tables["tickets_changes"].operators is None


def test_a_field_that_comes_to_a_document_later_is_told_as_well() -> None:
    """The operators of all contributions that brought something new."""
    updates = {"e1": inc(n=1), "e2": maximum(most=1), "e3": inc({"of.a": 1})}
    count = single(lambda event: updates[event.event_id])
    told = run(*map(fact, updates), handlers=(count,))["sums"].operators
    assert told is not None
    assert [told(path) for path in ("most", "of.a")] == [{"max"}, {"inc"}]


def test_tables_of_handlers_that_saw_nothing_are_empty() -> None:
    """Every table of the registry is there."""
    tables = run()
    assert set(tables) == set(Registry(ALL).tables())
    assert {len(tables[name]) for name in tables} == {0}
    assert len(tables) == 6


class Held(State):
    """Something of no declared type, and a text."""

    value: Any = None
    name: str = ""


@pytest.mark.parametrize("key", ["{tenant}:{after.value}:{after.name}", "{tenant}:{payload.value}"])
def test_documents_are_told_apart_by_their_keys(key: str) -> None:
    """Values that Python holds equal make keys of their own, and so do texts with colons."""

    @action("held.apply", on="*", table="held", key="{tenant}:{entity_id}")
    def apply_held(_state: Held | None, event: Event) -> Held:
        return Held(**event.payload)

    @observer("held.count", after=apply_held, table="sums", key=key)
    def count(_change: Change[Held], _event: Event) -> Update:
        return inc(n=1)

    values = (True, 1, 1.0, "1", "1:x", False, "\N{SNOWMAN}") * 2
    names = ("y", "x:y")
    events = [
        fact(f"e{n}{name}", n, value=value, name=name)
        for n, value in enumerate(values)
        for name in names
    ]
    tables = run(*events, handlers=(apply_held, count))
    keys = Counter(
        count.key(event, Held(**event.payload))
        for event in events  # the template itself
    )
    assert tables.failures == []
    assert len(keys) == 6 * (2 if "after" in key else 1)
    assert {key: document["n"] for key, document in tables.documents("sums").items()} == keys


def test_a_text_of_the_state_and_one_of_the_envelope_do_not_meet() -> None:
    """Colons in them are told from those between them."""

    @observer(
        "pairs.count", after=apply_ticket, table="sums", key="{tenant}:{after.owner}:{entity_id}"
    )
    def count(_change: Change[Ticket], _event: Event) -> Update:
        return inc(n=1)

    pairs = [("a", "b:c"), ("a:b", "c"), ("a", "b"), ("b", "a")] * 2
    events = [
        fact(f"e{n}", n, owner=owner, entity_id=entity) for n, (owner, entity) in enumerate(pairs)
    ]
    found = run(*events, handlers=(apply_ticket, count)).documents("sums")
    assert {key: document["n"] for key, document in found.items()} == dict.fromkeys(
        ("acme:a:b:c", "acme:a%3Ab:c", "acme:a:b", "acme:b:a"), 2
    )
    assert found["acme:a%3Ab:c"]["owner"] == "a:b"


@pytest.mark.parametrize("collecting", [True, False])
def test_the_collector_is_left_as_it_was(*, collecting: bool) -> None:
    """On or off, with nothing frozen; and it does not go through what the replay has made."""
    were = gc.isenabled()
    try:
        gc.enable() if collecting else gc.disable()
        tables = run(FIRST, SECOND, THIRD)
        assert gc.isenabled() is collecting
        assert gc.get_freeze_count() == 0
        young = {id(one) for generation in (0, 1) for one in gc.get_objects(generation)}
        assert not collecting or id(tables.chains) not in young
    finally:
        gc.enable() if were else gc.disable()


class Anything(State):
    """Holds whatever it is given."""

    value: Any = None


@action("anythings.apply", on="ticket.*", table="anythings", key="{tenant}:{entity_id}")
def apply_anything(state: Anything | None, event: Event) -> Anything:
    """The payload's value."""
    return Anything(value=event.payload["value"])


def test_a_row_keeps_what_was_before_a_change_of_type_alone() -> None:
    """As a live run does."""
    values = [1, True, 1.0, 1.0, [0], [False]]
    events = [fact(f"e{n}", n, value=value) for n, value in enumerate(values)]
    found = replay(Registry([apply_anything]), events)
    rows = [row for _, row in found["anythings_changes"].entries()]
    told = [None if row["changed"] is None else repr(row["changed"]) for row in rows]
    assert told == [
        None, "{'value': 1}", "{'value': True}", "{}", "{'value': 1.0}", "{'value': [0]}"
    ]  # fmt: skip
