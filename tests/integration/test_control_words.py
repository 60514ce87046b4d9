"""What a handler may say instead of failing: Retry, Snooze, Cancel; and its own limits."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline import Cancel, Change, Event, Retry, Snooze, Update, action, inc, observer
from pipeline.backoff import Backoff
from pipeline.declarations import Handler
from pipeline.tracing import as_json, trace
from tests.facts import Document, fact
from tests.integration.harness import NOW
from tests.integration.letters import Letters, job_of
from tests.integration.sample_handlers import Ticket

HOUR = timedelta(hours=1)
WORDS = (Retry(HOUR, "not ready"), Snooze(NOW + HOUR, "it sleeps"), Cancel("nobody wants it"))

said: dict[tuple[str, str], BaseException] = {}
"""By handler and event id, what the handler raises; a test fills and empties it."""


def _say(handler: str, event: Event) -> None:
    word = said.get((handler, event.event_id))
    if word is not None:
        raise word


@action("orders.apply", on="order.*", table="orders", key="{tenant}:{entity_id}", max_attempts=2)
def apply_order(state: Ticket | None, event: Event) -> Ticket:
    """Say what the test wants said, or take the points over."""
    _say("orders.apply", event)
    return (state or Ticket()).replace(points=event.payload.get("points", 1))


@observer(
    "orders.sum",
    after=apply_order,
    table="order_sums",
    key="{tenant}",
    max_attempts=3,
    backoff=Backoff(base_seconds=100, cap_seconds=150),
)
def sum_orders(change: Change[Ticket], event: Event) -> Update:
    """Say what the test wants said, or add the points up."""
    _say("orders.sum", event)
    return inc(points=change.after.points - (change.before.points if change.before else 0))


@observer("orders.count", after=sum_orders, table="order_counts", key="{tenant}")
def count_orders(change: Change[Ticket], event: Event) -> Update:
    """Say what the test wants said, or count; an observer of the observer."""
    _say("orders.count", event)
    return inc(orders=1)


HANDLERS: tuple[Handler, ...] = (apply_order, sum_orders, count_orders)


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Iterator[Letters]:
    """Give a pipeline with these handlers, which say nothing yet."""
    said.clear()
    yield Letters(mongo, database.name, redis_server, handlers=HANDLERS, max_attempts=5)
    said.clear()


def order(event_id: str, minute: float = 0, **fields: Any) -> Event:
    """An event of order O1."""
    return fact(event_id, minute, type="order.placed", **({"entity_id": "O1"} | fields))


def due(pipeline: Letters, event: Event, handler: str = "orders.apply") -> datetime:
    """When the event is looked at again."""
    found = pipeline.store.records.batches.waiting([job_of(event, handler)])
    (_, due_at), *_ = found.values()
    assert due_at is not None
    return due_at


def run_one(pipeline: Letters, handler: str, word: BaseException) -> Event:
    """Submit an event of which the handler says something."""
    event = order("e1")
    said[handler, "e1"] = word
    pipeline.submit(event)
    pipeline.work()
    return event


def test_retry_is_due_after_its_time_and_counts_as_an_attempt(pipeline: Letters) -> None:
    """Not before; RQ shows when, and why."""
    event = run_one(pipeline, "orders.apply", Retry(HOUR, "not ready"))
    row = pipeline.row(event, "orders.apply")
    assert (row.state, row.attempt) == ("retrying", 1)
    assert row.error == {"type": "Retry", "message": "not ready", "stage": "handle"}
    assert due(pipeline, event) == NOW + HOUR
    assert pipeline.scheduled() == {job_of(event, "orders.apply")}
    said.clear()
    assert pipeline.sweep(after=HOUR - timedelta(seconds=1)).due == 0
    assert pipeline.sweep(after=timedelta(seconds=1)).enqueued == 1
    pipeline.work()
    assert (pipeline.row(event, "orders.apply").attempt, len(pipeline.states(event))) == (2, 3)


def test_retry_again_and_again_ends_as_a_dead_letter(pipeline: Letters) -> None:
    """The handler allows two attempts; its word is the cause."""
    event = run_one(pipeline, "orders.apply", Retry(60, "not ready"))
    pipeline.sweep(after=HOUR)
    pipeline.work()
    (letter,) = pipeline.letters()
    assert (letter.event, letter.attempts) == (event.key, 2)
    assert (letter.cause, "traceback" in letter.error) == ("Retry: not ready", False)


def test_retry_at_once_is_due_at_once(pipeline: Letters) -> None:
    """No backoff is added to what the handler says."""
    event = run_one(pipeline, "orders.sum", Retry(0))
    assert due(pipeline, event, "orders.sum") == NOW


def test_snooze_is_due_at_its_moment_and_burns_no_attempt(pipeline: Letters) -> None:
    """However often it is said, all attempts are left for failing."""
    event = order("e1")
    pipeline.submit(event)
    for hours in range(1, 6):
        until = NOW + hours * HOUR
        said["orders.apply", "e1"] = Snooze(until, f"until {hours}")
        pipeline.work()
        row = pipeline.row(event, "orders.apply")
        assert (row.state, row.attempt, due(pipeline, event)) == ("snoozed", 1, until)
        assert (row.error or {})["message"] == f"until {hours}"
        assert pipeline.sweep(after=HOUR - timedelta(milliseconds=1)).due == 0
        assert pipeline.sweep(after=timedelta(milliseconds=1)).enqueued == 1
    said["orders.apply", "e1"] = ValueError("broken")
    pipeline.work()
    row = pipeline.row(event, "orders.apply")
    assert (row.state, row.attempt) == ("retrying", 1)


def test_snooze_keeps_the_attempts_that_failed(pipeline: Letters) -> None:
    """It adds none, and forgives none."""
    event = run_one(pipeline, "orders.apply", ValueError("broken"))
    said["orders.apply", "e1"] = Snooze(NOW + 3 * HOUR)
    pipeline.sweep(after=HOUR)
    pipeline.work()
    assert pipeline.row(event, "orders.apply").state == "snoozed"
    said["orders.apply", "e1"] = ValueError("broken")
    pipeline.sweep(after=2 * HOUR)
    pipeline.work()
    row = pipeline.row(event, "orders.apply")
    assert (row.state, row.attempt) == ("dead", 2)


def test_a_snooze_until_a_moment_that_is_past_is_due_at_once(pipeline: Letters) -> None:
    """And not lost in it."""
    event = run_one(pipeline, "orders.apply", Snooze(NOW - HOUR))
    assert due(pipeline, event) == NOW


def test_nobody_sleeps_for_ever(pipeline: Letters) -> None:
    """A moment too far ahead is brought forward."""
    event = run_one(pipeline, "orders.apply", Snooze(NOW + timedelta(days=400)))
    assert due(pipeline, event) == NOW + timedelta(days=30)


def test_cancel_is_final(pipeline: Letters) -> None:
    """Nothing is pending, nothing is shown by RQ, and nobody tries again."""
    event = run_one(pipeline, "orders.apply", Cancel("nobody wants it"))
    said.clear()
    assert pipeline.store.records.batches.idle()
    assert (pipeline.letters(), pipeline.failed(), pipeline.scheduled()) == ([], set(), set())
    assert pipeline.sweep(after=timedelta(days=40)).due == 0
    pipeline.work()
    assert pipeline.states(event) == {"orders.apply": "cancelled"}
    assert pipeline.everything()["orders"] == {}


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
@pytest.mark.parametrize("handler", ["orders.apply", "orders.sum"])
def test_observers_do_not_follow_what_had_no_effect(
    pipeline: Letters, handler: str, word: BaseException
) -> None:
    """They wait until there is one, if ever."""
    event = run_one(pipeline, handler, word)
    states = pipeline.states(event)
    assert states.pop(handler) in ("retrying", "snoozed", "cancelled")
    assert states == ({} if handler == "orders.apply" else {"orders.apply": "done"})


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_the_reason_is_in_the_trace(pipeline: Letters, word: BaseException) -> None:
    """Under the word; a traceback would say nothing more."""
    run_one(pipeline, "orders.apply", word)
    (found,) = trace(pipeline.store, pipeline.registry, "e1")
    (step,) = as_json(found)["steps"]
    assert step["error"] == {
        "type": type(word).__name__,
        "message": str(word),
        "stage": "handle",
    }


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_a_word_about_one_event_leaves_its_neighbours_alone(
    pipeline: Letters, word: BaseException
) -> None:
    """They are done, also those of the same document."""
    said["orders.apply", "e1"] = word
    events = [order(f"e{n}", n, points=n) for n in range(3)]
    pipeline.submit(*events)
    pipeline.work()
    assert [len(pipeline.states(event)) for event in events] == [3, 1, 3]
    assert pipeline.document("order_sums", "acme")["points"] == 2


def test_what_follows_a_cancelled_observer_does_not_begin_in_a_heal(pipeline: Letters) -> None:
    """The observer itself is asked again, since what it saw has changed."""
    event = order("e2", 2, points=2)
    said["orders.sum", "e2"] = Cancel("nobody wants it")
    pipeline.submit(event)
    pipeline.work()
    pipeline.submit(order("e1", 1))
    pipeline.work()
    assert pipeline.states(event) == {"orders.apply": "done", "orders.sum": "cancelled"}
    said.clear()
    pipeline.submit(order("e0", 1.5, points=7))
    pipeline.work()
    assert set(pipeline.states(event).values()) == {"done"}
    assert len(pipeline.states(event)) == 3
    assert pipeline.document("order_sums", "acme")["points"] == 2
    assert pipeline.document("order_counts", "acme")["orders"] == 3


def test_a_handlers_own_backoff_bounds_its_waits(pipeline: Letters) -> None:
    """The bound doubles from its base, up to its cap; each wait is drawn below it."""
    waits: dict[int, list[float]] = {1: [], 2: []}
    events = [order(f"e{n}", entity_id=f"O{n}") for n in range(30)]
    said.update((("orders.sum", event.event_id), ValueError("broken")) for event in events)
    pipeline.submit(*events)
    for attempt in waits:
        pipeline.work()
        now = pipeline.clock.now()
        waits[attempt] = [
            (due(pipeline, event, "orders.sum") - now).total_seconds() for event in events
        ]
        pipeline.sweep(after=HOUR)
    assert all(0 <= wait <= 100 for wait in waits[1])
    assert all(0 <= wait <= 150 for wait in waits[2])
    # By chance alone a fair draw is this narrow once in a billion runs.
    assert max(waits[1]) > 50
    assert max(waits[2]) > 75


@pytest.mark.parametrize(
    ("handler", "allowed"), [("orders.apply", 2), ("orders.sum", 3), ("orders.count", 5)]
)
def test_a_handler_has_its_own_number_of_attempts(
    pipeline: Letters, handler: str, allowed: int
) -> None:
    """And the settings' where it names none."""
    said[handler, "e1"] = ValueError("broken")
    pipeline.submit(order("e1"))
    pipeline.settle()
    (letter,) = pipeline.letters()
    assert (letter.handler, letter.attempts) == (handler, allowed)
