"""Whatever order events arrive in, the tables end as if they had come in order."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.event import Event
from tests.databases import empty
from tests.facts import Document, fact
from tests.integration.harness import Harness
from tests.integration.sample_handlers import broken

pytestmark = pytest.mark.uncounted

STATUSES = ("open", "waiting", "done")
OWNERS = ("ann", "bob", "cid")


def story(seed: int, count: int = 60) -> list[Event]:
    """Events of a few tickets of two tenants, with ties in time, in their order."""
    draw = random.Random(seed)
    events = []
    for n in range(count):
        said: dict[str, Any] = {"add": draw.randrange(-3, 9)}
        if draw.random() < 0.5:
            said["status"] = draw.choice(STATUSES)
        if draw.random() < 0.4:
            said["owner"] = draw.choice(OWNERS)
        if draw.random() < 0.3:
            said["due"] = draw.choice(["2024-07-01T10:00:00.123+02:00", "2024-07-02T00:00:00Z"])
        events.append(
            fact(
                f"e{n}",
                n // 3,
                tenant=draw.choice(["acme", "beta"]),
                entity_id=f"T{draw.randrange(4)}",
                seq=draw.choice([None, n]),
                **said,
            )
        )
    return sorted(events, key=lambda event: event.order)


def tables_of(
    client: MongoClient[Document],
    name: str,
    arrivals: list[list[Event]],
    draw: random.Random | None = None,
    **options: Any,
) -> dict[str, dict[str, Document]]:
    """The domain's tables after these submissions, each followed by a drain."""
    if draw is not None:
        options = {"take_along": draw.choice([0, 2, 20])} | options
    harness = Harness(client, name, **options)
    try:
        for part in arrivals:
            harness.submit(*part)
            if draw is None or draw.random() < 0.5:
                harness.drain(draw)
        harness.drain(draw)
        assert harness.store.records.batches.idle()
        assert harness.store.records.ledger.in_trouble() == {}
        return harness.domain()
    finally:
        empty(client[name])


def parts(events: list[Event], draw: random.Random) -> list[list[Event]]:
    """The events cut at random."""
    cut = []
    while events:
        size = draw.choice([1, 2, 3, 5, 8, 20])
        cut.append(events[:size])
        events = events[size:]
    return cut


@pytest.mark.parametrize("seed", range(6))
def test_any_arrival_order_and_any_cut_end_in_the_same_tables(
    mongo: MongoClient[Document], database: Database[Document], seed: int
) -> None:
    """Shuffled, a fifth sent twice, batches of any size, run in any order."""
    draw = random.Random(seed)
    events = story(seed)
    expected = tables_of(mongo, database.name, [[event] for event in events])
    arrivals = events + draw.sample(events, len(events) // 5)
    draw.shuffle(arrivals)
    size = draw.choice([1, 3, 7, 500])
    got = tables_of(mongo, database.name, parts(arrivals, draw), draw, batch_size=size)
    assert got == expected


@pytest.mark.parametrize("size", [1, 7, 500])
def test_the_size_of_batches_makes_no_difference_to_events_in_order(
    mongo: MongoClient[Document], database: Database[Document], size: int
) -> None:
    """Not to temporal rows either."""
    events = story(99)
    expected = tables_of(mongo, database.name, [[event] for event in events])
    assert tables_of(mongo, database.name, [events], batch_size=size) == expected


@pytest.mark.parametrize("size", [1, 2, 500])
def test_values_that_mongodb_keeps_in_another_form_make_no_difference_either(
    mongo: MongoClient[Document], database: Database[Document], size: int
) -> None:
    """A tuple comes back as a list, a moment without microseconds; neither is a change."""
    due = "2024-07-01T10:00:00.123456+02:00"
    events = [fact(f"e{n}", n, type="label.set", tags=["a"], due=due) for n in range(4)]
    expected = tables_of(mongo, database.name, [[event] for event in events])
    assert tables_of(mongo, database.name, [events], batch_size=size) == expected
    changes = sorted(expected["labels_changes"].items())
    assert [row["changed"] for _, row in changes] == [None, {}, {}, {}]


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_small_story_ends_the_same_whatever_its_arrival(
    mongo: MongoClient[Document], database: Database[Document], data: st.DataObject
) -> None:
    """One ticket, so that every event can be late for every other."""
    changes = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {"minute": st.integers(0, 3), "add": st.integers(-1, 2)},
                optional={
                    "status": st.sampled_from(STATUSES[:2]),
                    "owner": st.sampled_from(OWNERS[:2]),
                },
            ),
            min_size=2,
            max_size=6,
        )
    )
    events = [fact(f"e{n}", **change) for n, change in enumerate(changes)]
    events.sort(key=lambda event: event.order)
    draw = random.Random(data.draw(st.integers(0, 2**16)))
    expected = tables_of(mongo, database.name, [[event] for event in events])
    arrivals = [*events, draw.choice(events)]
    draw.shuffle(arrivals)
    assert tables_of(mongo, database.name, parts(arrivals, draw), draw) == expected


def test_a_late_event_heals_sums_extremes_and_sets(harness: Harness) -> None:
    """Ann had the ticket at its highest; it turns out that Bob had it by then."""
    harness.process(fact("e1", 1, owner="ann", points=5, status="open"))
    harness.process(fact("e3", 3, points=50, status="done"))
    ann = harness.document("owner_totals", "acme:ann")
    assert (ann["points"], ann["most"], ann["changes"]) == (50, 50, 2)
    harness.process(fact("e2", 2, owner="bob"))
    ann, bob = (harness.document("owner_totals", f"acme:{name}") for name in ("ann", "bob"))
    assert (ann["points"], ann["least"], ann["most"], ann["changes"]) == (5, 5, 5, 1)
    assert (ann["statuses"], ann["last_at"]) == (["open"], ann["first_at"])
    assert (bob["points"], bob["least"], bob["most"], bob["changes"]) == (45, 5, 50, 2)
    assert sorted(bob["statuses"]) == ["done", "open"]


def test_a_derived_document_that_nothing_contributes_to_is_removed(harness: Harness) -> None:
    """It would not be there if the events had come in order."""
    harness.process(fact("e1", 1, owner="ann"), fact("e3", 3, add=1))
    harness.process(fact("e0", 0, status="open"), fact("e2", 1, owner="bob", seq=1))
    harness.process(fact("e4", 0.5, owner="ann"))
    assert "acme:bob" in harness.domain()["owner_totals"]
    other = fact("f2", 2, owner="cid", entity_id="T7")
    harness.process(other)
    harness.process(fact("f3", 3, points=4, entity_id="T8"))
    assert "acme:nobody" in harness.domain()["owner_totals"]
    harness.process(fact("f1", 1, owner="bob", entity_id="T8"))
    harness.process(fact("e9", -1, owner="ann"))
    assert "acme:nobody" not in harness.domain()["owner_totals"]


def test_a_document_that_was_removed_comes_back_whole(harness: Harness) -> None:
    """With the fields that say what it is, when something contributes to it again."""
    harness.process(fact("e2", 2, add=1))
    harness.process(fact("e1", 1, owner="ann"))
    assert set(harness.domain()["owner_totals"]) == {"acme:ann"}
    harness.process(fact("e0", 0, add=1))
    nobody = harness.document("owner_totals", "acme:nobody")
    assert (nobody["tenant"], nobody["owner"], nobody["changes"]) == ("acme", "nobody", 1)


def test_how_late_an_event_was_is_recorded(harness: Harness) -> None:
    """In milliseconds of event time behind the newest event of its document."""
    newest, late, next_one = fact("e2", 2), fact("e1", 0.5), fact("e3", 3)
    harness.process(newest)
    harness.process(late)
    harness.process(next_one)
    rows = [harness.row(event, "tickets.apply") for event in (newest, late, next_one)]
    assert [row.late_ms for row in rows] == [None, 90_000, None]


def test_an_event_in_order_is_not_late_though_it_ties_in_time(harness: Harness) -> None:
    """Its sequence comes after the last one's, and nothing has to be folded again."""
    harness.process(fact("e1", 1, seq=1))
    tied = fact("e2", 1, seq=2)
    harness.process(tied)
    assert harness.row(tied, "tickets.apply").late_ms is None


def test_a_tie_that_comes_out_of_order_is_late_by_nothing(harness: Harness) -> None:
    """Late all the same: its document had seen a later sequence."""
    harness.process(fact("e2", 1, seq=2, status="done"))
    tied = fact("e1", 1, seq=1, status="open")
    harness.process(tied)
    assert harness.row(tied, "tickets.apply").late_ms == 0
    assert harness.document("tickets", "acme:T1")["status"] == "done"


def test_an_observer_that_had_not_run_when_its_change_was_rewritten_counts_once(
    harness: Harness,
) -> None:
    """The healing runs it at once; its own job finds that done."""
    first, late = fact("e2", 2, points=5, status="done"), fact("e1", 1, owner="ann", points=1)
    harness.submit(first)
    harness.run(harness.waiting.popleft())
    left = list(harness.waiting)
    harness.waiting.clear()
    harness.process(late)
    assert harness.states(first)["owners.count"] == "done"
    harness.waiting.extend(left)
    harness.drain()
    ann = harness.document("owner_totals", "acme:ann")
    assert (ann["changes"], ann["points"]) == (2, 5)
    assert harness.document("tenant_totals", "acme")["tickets"] == 1
    assert set(harness.domain()["owner_totals"]) == {"acme:ann"}


def test_an_observer_healed_early_stays_done_when_its_own_job_would_fail(
    harness: Harness,
) -> None:
    """The effect is in the tables; a job that comes later has nothing to attempt."""
    first, late = fact("e2", 2, points=5), fact("e1", 1, owner="ann", points=1)
    harness.submit(first)
    harness.run(harness.waiting.popleft())
    left = list(harness.waiting)
    harness.waiting.clear()
    harness.process(late)
    before = harness.domain()
    broken.add(("owners.count", "e2"))
    harness.waiting.extend(left)
    harness.drain()
    broken.clear()
    harness.retry()
    assert harness.states(first)["owners.count"] == "done"
    assert harness.domain() == before


def test_an_observer_that_fails_while_healing_is_tried_again_and_counts_once(
    harness: Harness,
) -> None:
    """Its old contribution is taken back at once, the new one comes with the retry."""
    harness.process(fact("e1", 1, owner="ann"), fact("e3", 3, points=7))
    broken.add(("owners.count", "e3"))
    harness.process(fact("e2", 2, owner="bob"))
    assert harness.states(fact("e3", 3))["owners.count"] == "retrying"
    assert harness.document("owner_totals", "acme:ann")["points"] == 0
    broken.clear()
    harness.retry()
    assert harness.states(fact("e3", 3))["owners.count"] == "done"
    assert harness.document("owner_totals", "acme:bob")["points"] == 7
    assert harness.document("owner_totals", "acme:bob")["changes"] == 2


def test_a_dead_observer_is_healed_when_a_late_event_makes_it_possible(
    harness: Harness,
) -> None:
    """A late event runs it again on the change as it is now."""
    broken.add(("owners.count", "e3"))
    changed = fact("e3", 3, points=7)
    harness.process(changed)
    harness.retry()
    harness.retry()
    assert harness.states(changed)["owners.count"] == "dead"
    broken.clear()
    harness.process(fact("e2", 2, owner="bob"))
    assert harness.states(changed)["owners.count"] == "done"
    assert harness.document("owner_totals", "acme:bob")["points"] == 7


def test_a_late_event_that_makes_a_later_one_fail_is_the_one_at_fault(
    harness: Harness,
) -> None:
    """What was committed stays, and the late one waits as a failure of its own."""
    harness.process(fact("e1", 1, status="open"), fact("e3", 3, needs="open", status="done"))
    before = harness.domain()
    late = fact("e2", 2, status="waiting")
    harness.process(late)
    assert harness.states(late) == {"tickets.apply": "retrying"}
    assert harness.domain() == before


def test_the_stamp_of_a_derived_document_tells_the_latest_event_that_ever_reached_it(
    harness: Harness,
) -> None:
    """A stamp says what was seen; only what handlers wrote is healed."""
    harness.process(fact("e1", 1, owner="ann"), fact("e3", 3, points=1))
    harness.process(fact("e2", 2, owner="bob"))
    ann = harness.document("owner_totals", "acme:ann")
    assert ann["_sync"]["event_at"] == fact("e3", 3).occurred_at
    assert ann["last_at"] == fact("e1", 1).occurred_at


def test_every_document_tells_its_event_read_and_write_time(harness: Harness) -> None:
    """In state, temporal and derived tables alike."""
    harness.process(fact("e1", 1), fact("e2", 2, type="page.viewed", page="home"))
    for table in set(harness.registry.tables()) - {"labels", "labels_changes"}:
        (document,) = harness.everything()[table].values()
        assert {"event_at", "read_at", "write_at"} <= set(document["_sync"]), table
