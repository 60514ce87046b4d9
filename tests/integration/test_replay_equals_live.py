"""The live pipeline on a real MongoDB ends in the tables of the sequential run in memory."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import Change, Event, State, Update, action, add_to_set, inc, maximum, observer
from pipeline.declarations import RESERVED_TABLES
from pipeline.replay import Differences, Tables, audit, compare, replay
from tests.databases import empty
from tests.facts import Document, fact
from tests.integration.harness import Harness
from tests.integration.sample_handlers import ALL, Ticket, apply_labels, apply_ticket, broken

MOST_RETRIES = 20
STATUSES = ("open", "waiting", "done")
OWNERS = ("ann", "bob", "cid")


@pytest.fixture(autouse=True)
def _nothing_broken() -> Iterator[None]:
    """No handler is told to fail before a test, or after it."""
    broken.clear()
    yield
    broken.clear()


def changed(n: int, draw: st.DataObject) -> Event:
    """A ticket's event: few tickets, few moments, so that ties and lateness abound."""
    said = draw.draw(
        st.fixed_dictionaries(
            {"add": st.integers(-2, 2)},
            optional={
                "status": st.sampled_from(STATUSES),
                "owner": st.sampled_from(OWNERS),
                "due": st.sampled_from(["2024-07-01T10:00:00.123456+02:00", "2024-07-02T00:00Z"]),
            },
        )
    )
    return fact(
        f"e{n}",
        draw.draw(st.integers(0, 4)),
        tenant=draw.draw(st.sampled_from(["acme", "beta"])),
        entity_id=draw.draw(st.sampled_from(["T1", "T2"])),
        seq=draw.draw(st.sampled_from([None, 9, 10, n])),
        **said,
    )


def viewed(n: int, draw: st.DataObject) -> Event:
    """A page's event; some say nothing, and some can't be counted."""
    return fact(
        f"p{n}",
        draw.draw(st.integers(0, 4)),
        type=draw.draw(st.sampled_from(["page.viewed", "page.ignored", "page.shut"])),
        page=draw.draw(st.sampled_from(["home", "a:b", "", None])),
        views=draw.draw(st.sampled_from([1, 2, 0, 2**63])),
    )


def labelled(n: int, draw: st.DataObject) -> Event:
    """A label's event: values that MongoDB keeps in another form."""
    return fact(
        f"l{n}",
        draw.draw(st.integers(0, 4)),
        type="label.set",
        tags=draw.draw(st.sampled_from([["a"], ["a", "b"], []])),
        due="2024-07-01T10:00:00.123456+02:00",
    )


def other(n: int, _draw: st.DataObject) -> Event:
    """An event that no handler asks for."""
    return fact(f"x{n}", 1, type="parcel.sent")


KINDS = (changed, changed, changed, viewed, labelled, other)


def told(event: Event, again: int) -> Event:
    """An event under the same key that says something else."""
    return event.model_copy(update={"payload": event.payload | {"add": 100 + again}})


def pieces(events: list[Event], draw: random.Random) -> Iterator[list[Event]]:
    """The events cut at random."""
    while events:
        size = draw.choice([1, 2, 3, 5, 20])
        yield events[:size]
        events = events[size:]


def settled(harness: Harness, arrivals: Sequence[Event], draw: random.Random) -> None:
    """Take the events in pieces, run what waits in any order, and try again what failed.

    Some have used up their attempts when later pieces come.
    """
    for part in pieces(list(arrivals), draw):
        harness.submit(*part)
        if draw.random() < 0.5:
            harness.drain(draw)
        while draw.random() < 0.5:
            harness.retry()
    harness.drain(draw)
    for _ in range(MOST_RETRIES):
        if not harness.retry():
            return
    raise AssertionError("something is still tried again")


def differences(harness: Harness, expected: Tables) -> Differences:
    """Hold the tables in MongoDB against the expected ones."""
    database = harness.store.database
    names = set(database.list_collection_names()) - RESERVED_TABLES
    return compare(expected, {name: database[name].find() for name in sorted(names)})


def ledger(harness: Harness) -> Iterator[tuple[str, str, str]]:
    """Event, handler and state of every row."""
    for row in harness.store.database["ledger"].find({}, {"state": 1}):
        event, _, handler = row["_id"].rpartition("|")
        yield event, handler, row["state"]


def check(harness: Harness, arrivals: Sequence[Event]) -> Tables:
    """Tables and ledger are those of the sequential run; returns what that left."""
    expected = replay(harness.registry, arrivals)
    found = differences(harness, expected)
    assert found.equal, f"\n{found}"
    rows = audit(harness.registry, arrivals, ledger(harness), expected.failures)
    assert rows.clean, f"\n{rows}"
    return expected


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(draw=st.data())
def test_any_arrival_of_any_story_ends_as_the_sequential_run(
    mongo: MongoClient[Document], database: Database[Document], draw: st.DataObject
) -> None:
    """Late, tied, sent twice, sent again with another content, cut anywhere, some failing."""
    kinds = draw.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=10))
    events = [kind(n, draw) for n, kind in enumerate(kinds)]
    names = [handler.name for handler in ALL if handler is not apply_labels]
    failing = st.tuples(st.sampled_from(names), st.sampled_from([e.event_id for e in events]))
    dice = random.Random(draw.draw(st.integers(0, 2**16)))
    arrivals = [*events, *dice.sample(events, len(events) // 3)]
    arrivals += [told(event, n) for n, event in enumerate(dice.sample(events, len(events) // 4))]
    dice.shuffle(arrivals)
    broken.update(draw.draw(st.sets(failing, max_size=4)))
    harness = Harness(
        mongo,
        database.name,
        batch_size=dice.choice([1, 2, 500]),
        take_along=dice.choice([0, 2, 20]),
    )
    try:
        settled(harness, arrivals, dice)
        check(harness, arrivals)
    finally:
        broken.clear()
        empty(database)


def test_what_follows_a_failed_observer_is_left_out_though_a_late_event_heals(
    harness: Harness,
) -> None:
    """The late event runs all that is derived from the rows it changes."""
    broken.update({("owners.count", "e3"), ("tenants.count", "e4")})
    events = [fact("e1", 1, owner="ann", status="open"), fact("e3", 3, status="done")]
    events += [fact("e4", 4, status="open"), fact("e2", 2, owner="bob", status="waiting")]
    for event in events:
        harness.process(event)
        while harness.retry():
            pass
    expected = check(harness, events)
    assert [failure[:2] for failure in expected.failures] == [
        ("e3@acme/desk", "owners.count"),
        ("e4@acme/desk", "tenants.count"),
    ]
    assert "acme:done" not in expected.documents("status_totals")


class Bare(State):
    """Takes anything."""

    value: Any = None


@action("bare.apply", on="ticket.*", table="bare", key="{tenant}:{payload.key}")
def apply_bare(_state: Bare | None, event: Event) -> Any:
    """What MongoDB can't hold, what is no state, and an entity without a key."""
    if event.payload.get("returns") == "none":
        return None
    return Bare(value=event.payload.get("value"))


@observer("misuses.count", after=apply_bare, table="misuses", key="{tenant}:{after.value}")
def misuse(_change: Change[Bare], event: Event) -> Any:
    """Results that can't be used."""
    return {
        "dict": {"n": 1},
        "key": inc(value=1),
        "stamp": maximum({"_sync.contributions": 1}),
        "number": maximum(n="text"),
        "nothing": Update.nothing(),
    }.get(event.payload.get("returns", ""), inc(n=1))


@observer("below.count", after=misuse, table="below", key="{tenant}")
def below(_change: Change[Bare], _event: Event) -> Update:
    """One more, where the observer above had its effect."""
    return inc(n=1)


HANDLED = ("dict", "nothing", "none", "right")
HELD = ("a", 2**63, 2**62, None, ["a"], "\N{SNOWMAN}")


@pytest.mark.parametrize("seed", range(4))
def test_results_that_cannot_be_used_fail_in_both(
    mongo: MongoClient[Document], database: Database[Document], seed: int
) -> None:
    """Whatever the order of arrival: each fails by itself."""
    draw = random.Random(seed)
    events = [
        fact(f"e{n}", n, key=draw.choice("ab"), returns=draw.choice(HANDLED), value=HELD[n % 6])
        for n in range(24)
    ]
    events += [fact("k1", 30, value="a"), fact("k2", 31, key=["a"]), fact("k3", 32, key=True)]
    harness = Harness(mongo, database.name, handlers=(apply_bare, misuse, below), batch_size=7)
    arrivals = draw.sample(events, len(events))
    settled(harness, arrivals, draw)
    expected = check(harness, arrivals)
    assert {failure.handler for failure in expected.failures} == {"bare.apply", "misuses.count"}


def test_what_a_document_cannot_take_fails_in_both(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """In order, since which one it is depends on that."""
    harness = Harness(mongo, database.name, handlers=(apply_bare, misuse, below))
    said = ("stamp", "right", "key", "number", "dict", "right")
    events = [fact(f"e{n}", n, key="k", value="a", returns=word) for n, word in enumerate(said)]
    for event in events:
        harness.process(event)
    while harness.retry():
        pass
    expected = check(harness, events)
    failing = ["e0@acme/desk", "e2@acme/desk", "e4@acme/desk", "e5@acme/desk"]
    assert [failure.event for failure in expected.failures] == failing
    assert expected.documents("misuses")["acme:a"]["n"] == "text"


def test_a_sum_beyond_64_bits_is_refused_in_both(harness: Harness) -> None:
    """And those after it count."""
    sums = (2**62, 2**62, 5, -1)
    events = [
        fact(f"p{n}", n, type="page.viewed", page="home", views=more) for n, more in enumerate(sums)
    ]
    for event in events:
        harness.process(event)
    while harness.retry():
        pass
    expected = check(harness, events)
    assert [failure.event for failure in expected.failures] == ["p1@acme/desk"]
    assert expected.documents("page_totals")["acme:home"]["views"] == 2**62 + 4


def test_a_count_that_was_taken_back_leaves_a_zero_that_replay_never_had(harness: Harness) -> None:
    """One of the things a comparison lets pass, and why."""
    arrivals = [fact("o1", 0, entity_id="T2", status="open")]
    arrivals += [fact("e2", 2), fact("e1", 1, status="open")]
    for event in arrivals:
        harness.process(event)
    live = harness.document("tenant_totals", "acme")
    expected = check(harness, arrivals).documents("tenant_totals")["acme"]
    assert live["standing"] == {"new": 0, "open": 2}
    assert expected["standing"] == {"open": 2}


def test_a_set_stands_in_the_order_of_arrival(harness: Harness) -> None:
    """Another one."""
    arrivals = [fact("e2", 2, status="done"), fact("e1", 1, entity_id="T2", status="open")]
    for event in arrivals:
        harness.process(event)
    live = harness.document("owner_totals", "acme:nobody")
    expected = check(harness, arrivals).documents("owner_totals")["acme:nobody"]
    assert (live["statuses"], expected["statuses"]) == (["done", "open"], ["open", "done"])


def test_a_derived_documents_stamp_tells_of_an_event_that_is_gone_from_it(
    harness: Harness,
) -> None:
    """Another one."""
    arrivals = [fact("e1", 1, owner="ann"), fact("e3", 3, add=1), fact("e2", 2, owner="bob")]
    for event in arrivals:
        harness.process(event)
    live = harness.document("owner_totals", "acme:ann")
    expected = check(harness, arrivals).documents("owner_totals")["acme:ann"]
    assert live["_sync"]["event_at"] == arrivals[1].occurred_at
    assert expected["_sync"]["event_at"] == arrivals[0].occurred_at


@observer("kinds.count", after=apply_ticket, table="kinds", key="{tenant}")
def count_kind(change: Change[Ticket], event: Event) -> Update:
    """Numbers of several types, and fields of several names."""
    return (
        maximum(most=event.payload["most"])
        | add_to_set(all=event.payload["most"])
        | inc({f"of.{change.after.status}": 1})
    )


def test_of_equal_numbers_and_of_keys_the_first_to_arrive_stands_first(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """The last two: types of equal numbers, and the order of keys."""
    arrivals = [fact("e2", 2, most=1.0, status="b"), fact("e1", 1, most=1, status="a")]
    harness = Harness(mongo, database.name, handlers=(apply_ticket, count_kind))
    for event in arrivals:
        harness.process(event)
    expected = check(harness, arrivals).documents("kinds")["acme"]
    live = harness.store.database["kinds"].find_one()
    assert live is not None
    assert [type(one["most"]) for one in (live, expected)] == [float, int]
    assert [list(one["of"]) for one in (live, expected)] == [["b", "a"], ["a", "b"]]
