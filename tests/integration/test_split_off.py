"""An event that fails is split off; its neighbours never notice."""

from collections.abc import Iterator

import pytest

from pipeline.event import Event
from tests.facts import fact
from tests.integration.harness import Harness
from tests.integration.sample_handlers import broken

TOO_LARGE = 17 * 1024 * 1024


def tickets(count: int) -> list[Event]:
    """One event for each of so many tickets."""
    return [fact(f"e{n}", n, entity_id=f"T{n}", status="open", add=1) for n in range(count)]


@pytest.fixture
def three(harness: Harness) -> Iterator[list[Event]]:
    """Submit three events of three tickets; the handler is told to fail on the middle one."""
    events = tickets(3)
    broken.add(("tickets.apply", "e1"))
    harness.submit(*events)
    yield events
    broken.clear()


def test_an_event_whose_handler_raises_is_split_off(harness: Harness, three: list[Event]) -> None:
    """Its neighbours are done and go on to their observers; it has a batch of its own."""
    first, *_ = harness.drain()
    assert [(f.row.handler, f.row.event) for f in first.failures] == [
        ("tickets.apply", three[1].key)
    ]
    assert [failed.batch.events for failed in first.failures] == [(three[1].key,)]
    assert harness.states(three[0]) == harness.states(three[2])
    assert harness.states(three[0])["tenants.count"] == "done"
    assert harness.states(three[1]) == {"tickets.apply": "retrying"}
    assert harness.document("tenant_totals", "acme")["tickets"] == 2


def test_a_failure_is_recorded_with_its_cause_and_attempt(
    harness: Harness, three: list[Event]
) -> None:
    """Type, message, stage and traceback; what a person needs who looks."""
    harness.drain()
    row = harness.row(three[1], "tickets.apply")
    assert row.attempt == 1
    assert row.error is not None
    assert row.error["type"] == "RuntimeError"
    assert row.error["message"] == "told to fail on e1"
    assert row.error["stage"] == "handle"
    assert "sample_handlers" in row.error["traceback"]


def test_an_event_is_dead_after_the_most_attempts(harness: Harness, three: list[Event]) -> None:
    """Attempts are counted, and after the last one nobody tries by himself."""
    harness.drain()
    seen = [(1, "retrying")]
    while harness.retry():
        row = harness.row(three[1], "tickets.apply")
        seen.append((row.attempt, row.state.value))
    assert seen == [(1, "retrying"), (2, "retrying"), (3, "dead")]
    assert harness.store.records.ledger.in_trouble() == {"dead": 1}
    assert harness.store.records.batches.idle()


def test_no_retry_is_due_before_its_backoff(harness: Harness, three: list[Event]) -> None:
    """At the most it waits for the bound; it is pending all the while."""
    harness.drain()
    assert not harness.store.records.batches.idle()
    assert harness.store.records.batches.backlog() == {"tickets.apply": (1, 1)}


def test_an_event_recovers_when_its_handler_stops_raising(
    harness: Harness, three: list[Event]
) -> None:
    """The row becomes done at the attempt that worked, and the observers follow."""
    harness.drain()
    harness.retry()
    broken.clear()
    assert harness.retry() == 1
    row = harness.row(three[1], "tickets.apply")
    assert (row.state.value, row.attempt, row.error) == ("done", 3, None)
    assert harness.states(three[1]) == harness.states(three[0])
    assert harness.document("tenant_totals", "acme")["tickets"] == 3
    assert harness.store.records.ledger.in_trouble() == {}
    assert harness.retry() == 0


def test_an_event_recovers_to_the_same_tables_as_if_it_had_never_failed(
    harness: Harness,
) -> None:
    """It comes late then, and everything after it is folded again."""
    events = [fact(f"e{n}", n, status=f"s{n}", owner=f"o{n}", add=n) for n in range(5)]
    broken.add(("tickets.apply", "e1"))
    harness.process(*events)
    broken.clear()
    harness.retry()
    recovered = harness.domain()
    other = Harness(harness.store.database.client, harness.store.database.name + "_plain")
    try:
        other.process(*events)
        assert recovered == other.domain()
    finally:
        harness.store.database.client.drop_database(other.store.database.name)


def test_the_most_attempts_of_one_event_do_not_count_for_another(harness: Harness) -> None:
    """Two that fail in one batch are two batches of one from then on."""
    events = tickets(3)
    broken.update({("tickets.apply", "e0"), ("tickets.apply", "e1")})
    harness.process(*events)
    harness.retry()
    broken.discard(("tickets.apply", "e0"))
    harness.retry()
    assert harness.states(events[0])["tickets.apply"] == "done"
    assert harness.states(events[1]) == {"tickets.apply": "dead"}


def test_a_number_beyond_64_bits_in_the_state_is_the_fault_of_its_event(
    harness: Harness,
) -> None:
    """MongoDB can't hold it; the events around it, on the same document too, are done."""
    events = [fact("e0", 0, add=1), fact("e1", 1, points=2**70), fact("e2", 2, status="open")]
    events += tickets(2)[1:]
    events[-1] = fact("e9", 3, entity_id="T9", status="open")
    harness.process(*events)
    assert harness.document("tickets", "acme:T1")["points"] == 1
    assert harness.document("tickets", "acme:T1")["status"] == "open"
    assert [harness.states(event)["tickets.apply"] for event in events] == [
        "done",
        "retrying",
        "done",
        "done",
    ]


def test_a_document_too_large_for_mongodb_is_found_by_halving(harness: Harness) -> None:
    """The others of its batch are done; only the large one fails, while writing."""
    events = tickets(9)
    large = fact("e5", 5, entity_id="T5", fill=TOO_LARGE)
    events[5] = large
    harness.process(*events)
    row = harness.row(large, "tickets.apply")
    assert row.error is not None
    assert (row.state.value, row.attempt, row.error["stage"]) == ("retrying", 1, "write")
    done = [event for event in events if event is not large]
    assert {harness.states(event)["tickets.apply"] for event in done} == {"done"}
    assert harness.document("tenant_totals", "acme")["tickets"] == 8
    assert harness.store.database["tickets"].count_documents({"_id": "acme:T5"}) == 0
    harness.retry()
    harness.retry()
    assert harness.states(large) == {"tickets.apply": "dead"}


def test_a_sum_that_mongodb_refuses_is_found_by_halving(harness: Harness) -> None:
    """A counter beyond 64 bits: the event that takes it there fails, others count."""
    page = {"type": "page.viewed", "page": "home"}
    harness.process(fact("e0", 0, views=2**63 - 3, **page))
    events = [
        fact("e1", 1, **page),
        fact("e2", 2, views=100, **page),
        fact("e3", 3, type="page.viewed", page="other"),
        fact("e4", 4, **page),
    ]
    harness.process(*events)
    assert harness.document("page_totals", "acme:home")["views"] == 2**63 - 1
    assert harness.document("page_totals", "acme:other")["views"] == 1
    row = harness.row(events[1], "pages.count")
    assert row.error is not None
    assert (row.state.value, row.error["stage"]) == ("retrying", "write")
    assert {harness.states(events[n])["pages.count"] for n in (0, 2, 3)} == {"done"}


def test_a_key_that_can_not_be_made_is_the_fault_of_its_event(harness: Harness) -> None:
    """A payload without what the template names; the neighbour counts."""
    good = fact("e1", type="page.viewed", page="home")
    bad = fact("e2", type="page.viewed")
    harness.process(good, bad)
    assert harness.states(good) == {"pages.count": "done"}
    assert harness.states(bad) == {"pages.count": "retrying"}


@pytest.mark.parametrize("observer", ["owners.count", "tenants.count", "statuses.count"])
def test_a_failing_observer_leaves_its_action_and_its_siblings_done(
    harness: Harness, observer: str
) -> None:
    """An observer may fail alone; what follows it waits for it, and nothing else does."""
    event = fact("e1", status="open")
    broken.add((observer, "e1"))
    harness.process(event)
    states = harness.states(event)
    assert states.pop(observer) == "retrying"
    assert set(states.values()) == {"done"}
    assert ("statuses.count" in states) == (observer == "tenants.count")
    broken.clear()
    harness.retry()
    assert set(harness.states(event).values()) == {"done"}
    assert len(harness.states(event)) == 4


def test_a_dead_letter_does_not_stop_the_events_after_it(harness: Harness) -> None:
    """The document goes on without it."""
    broken.add(("tickets.apply", "e1"))
    harness.process(fact("e1", 1, add=10))
    harness.retry()
    harness.retry()
    harness.process(fact("e2", 2, add=1))
    assert harness.document("tickets", "acme:T1")["points"] == 1
