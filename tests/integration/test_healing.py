"""Healing: what was derived from rows that a late event changes, and what can go wrong with it."""

from collections.abc import Iterator
from typing import Final

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import Change, Event, Update, folding, inc, maximum, observer
from tests.facts import Document, fact
from tests.integration.harness import BOTH_WAYS, Harness
from tests.integration.sample_handlers import Ticket, apply_ticket, broken

HUGE: Final = 2**62


@pytest.fixture(autouse=True)
def _nothing_broken() -> Iterator[None]:
    """No handler is told to fail before a test, or after it."""
    broken.clear()
    yield
    broken.clear()


@observer("stock.count", after=apply_ticket, table="stock", key="{tenant}")
def count_stock(change: Change[Ticket], _event: Event) -> Update:
    """Points where the ticket is open; a sum that can be too large."""
    open_ = change.after.status == "open"
    return inc(points=change.after.points if open_ else 0) | maximum(most=change.after.points)


@observer("stock.log", after=count_stock, table="stock_log", key="{tenant}")
def log_stock(_change: Change[Ticket], _event: Event) -> Update:
    """One more, where the stock was counted."""
    return inc(counted=1)


@observer("tally.count", after=apply_ticket, table="tallies", key="{tenant}")
def tally(_change: Change[Ticket], _event: Event) -> Update:
    """One more; nothing can go wrong with it."""
    return inc(changes=1)


@pytest.fixture
def stock(mongo: MongoClient[Document], database: Database[Document], take_along: int) -> Harness:
    """Give a pipeline whose sums can be too large."""
    return Harness(
        mongo,
        database.name,
        handlers=(apply_ticket, count_stock, log_stock, tally),
        take_along=take_along,
    )


def full(stock: Harness) -> tuple[Event, Event, Event]:
    """A table that has no room for another huge number, and a late event that asks for it."""
    other = fact("f1", 1, entity_id="T2", points=HUGE, status="open")
    later = fact("e3", 3, points=HUGE)
    small = fact("e4", 4, points=5)
    stock.process(other, fact("e1", 1, status="done"), later, small)
    return fact("e2", 2, status="open"), later, small


@BOTH_WAYS
def test_a_correction_that_mongodb_refuses_fails_its_observer_and_not_the_late_event(
    stock: Harness,
) -> None:
    """Two huge numbers make no sum of 64 bits; the neighbours go on."""
    late, later, small = full(stock)
    stock.process(late)
    assert stock.states(late) == dict.fromkeys(
        ("tickets.apply", "stock.count", "stock.log", "tally.count"), "done"
    )
    row = stock.row(later, "stock.count")
    assert (row.state, row.key, row.attempt) == ("retrying", None, 1)
    assert row.error is not None
    assert (row.error["type"], row.error["stage"]) == ("UpdateError", "heal")
    assert "does not fit in 64 bits" in row.error["message"]
    assert stock.states(later)["stock.log"] == "waiting"
    assert stock.states(later)["tally.count"] == "done"
    assert stock.row(small, "stock.count").state == "done"
    assert stock.document("stock", "acme")["points"] == HUGE + 5
    assert stock.document("stock", "acme")["_sync"]["contributions"] == 4
    assert stock.document("stock_log", "acme")["counted"] == 4
    assert stock.document("tickets", "acme:T1")["status"] == "open"


@BOTH_WAYS
def test_a_correction_that_was_refused_is_tried_again_until_it_is_a_dead_letter(
    stock: Harness,
) -> None:
    """By its own batch; when a late event makes it ask for less, it is taken."""
    late, later, _ = full(stock)
    stock.process(late)
    stock.retry()
    stock.retry()
    assert stock.states(later)["stock.count"] == "dead"
    assert stock.states(later)["stock.log"] == "waiting"
    stock.process(fact("e2x", 2.5, status="done"))
    assert stock.states(later)["stock.count"] == "done"
    assert stock.states(later)["stock.log"] == "done"
    stock.retry()
    assert stock.store.records.batches.idle()


@BOTH_WAYS
def test_below_an_observer_that_lost_its_effect_in_a_heal_nothing_has_one(
    harness: Harness,
) -> None:
    """As if the observer had failed in its own turn."""
    harness.process(fact("e1", 1, owner="ann", status="open"), fact("e3", 3, status="done"))
    assert harness.document("status_totals", "acme:done")["entered"] == 1
    broken.add(("owners.count", "e3"))
    harness.process(fact("e2", 2, owner="bob"))
    assert harness.states(fact("e3", 3))["owners.count"] == "retrying"
    assert harness.states(fact("e3", 3))["statuses.count"] == "waiting"
    assert "acme:done" not in harness.domain()["status_totals"]


@BOTH_WAYS
@pytest.mark.parametrize("way", ["retry", "heal"])
def test_what_is_below_comes_back_with_it(harness: Harness, way: str) -> None:
    """By its own retry, or by another late event."""
    harness.process(fact("e1", 1, owner="ann", status="open"), fact("e3", 3, status="done"))
    broken.add(("owners.count", "e3"))
    harness.process(fact("e2", 2, owner="bob"))
    broken.clear()
    if way == "retry":
        harness.retry()
    else:
        harness.process(fact("e2x", 2.5, owner="cid"))
    assert set(harness.states(fact("e3", 3)).values()) == {"done"}
    assert harness.document("status_totals", "acme:done")["entered"] == 1
    harness.retry()
    assert harness.store.records.batches.idle()


@BOTH_WAYS
def test_a_batch_that_waited_while_its_observer_lost_its_effect_has_none_either(
    harness: Harness,
) -> None:
    """It meets the row that waits; when the observer succeeds there is a batch again."""
    changed = fact("e3", 3, status="done")
    harness.process(fact("e1", 1, owner="ann", status="open"))
    harness.submit(changed)
    harness.run(harness.waiting.popleft())
    below = []
    while harness.waiting:
        batch = harness.waiting.popleft()
        if batch.handler == "statuses.count":
            below.append(batch)
        else:
            harness.run(batch)
    broken.add(("owners.count", "e3"))
    harness.process(fact("e2", 2, owner="bob"))
    assert harness.states(changed)["statuses.count"] == "waiting"
    harness.waiting.extend(below)
    harness.drain()
    assert harness.states(changed)["statuses.count"] == "waiting"
    assert "acme:done" not in harness.domain()["status_totals"]
    broken.clear()
    harness.retry()
    assert harness.states(changed)["statuses.count"] == "done"
    assert harness.document("status_totals", "acme:done")["entered"] == 1


@BOTH_WAYS
def test_a_batch_that_changes_too_many_rows_of_many_documents_is_cut(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each half is a transaction that holds it, and no event is at fault."""
    monkeypatch.setattr(folding, "MOST_ROWS", 25)
    names = [f"T{n}" for n in range(4)]
    harness.process(*(fact(f"{t}-{n}", n, entity_id=t, add=1) for t in names for n in range(10)))
    late = [fact(f"{t}-late", 0.5, entity_id=t, add=5) for t in names]
    harness.process(*late)
    assert [harness.row(event, "tickets.apply").state for event in late] == ["done"] * 4
    assert [harness.document("tickets", f"acme:{t}")["points"] for t in names] == [15] * 4


@BOTH_WAYS
def test_a_late_event_that_changes_too_much_is_a_dead_letter_that_says_so(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: another attempt would find as much."""
    monkeypatch.setattr(folding, "MOST_ROWS", 25)
    harness.process(*(fact(f"e{n}", n, add=1) for n in range(40)))
    late = fact("late", 0.5, add=5)
    harness.process(late)
    row = harness.row(late, "tickets.apply")
    assert (row.state, row.attempt) == ("dead", 1)
    assert row.error is not None
    assert "more than 25 later rows of tickets[acme:T1]" in row.error["message"]
    assert harness.document("tickets", "acme:T1")["points"] == 40


@BOTH_WAYS
def test_an_extreme_goes_back_where_the_same_event_says_less(harness: Harness) -> None:
    """The highest was 15, and nobody has said as much since."""
    harness.process(fact("e1", 1, owner="ann", points=5), fact("e3", 3, add=10))
    assert harness.document("owner_totals", "acme:ann")["most"] == 15
    harness.process(fact("e2", 2, add=-3))
    ann = harness.document("owner_totals", "acme:ann")
    assert (ann["least"], ann["most"]) == (2, 12)


@observer("closed.sum", after=apply_ticket, table="closed_sums", key="{tenant}")
def sum_closed(change: Change[Ticket], event: Event) -> Update | None:
    """Points of those that are closed."""
    return inc(points=change.after.points) if event.payload.get("closes") else None


@BOTH_WAYS
def test_a_sum_whose_correction_is_no_one_amount_keeps_what_others_added(
    mongo: MongoClient[Document], database: Database[Document], take_along: int
) -> None:
    """From a huge number below zero to one above: the old one goes, the new one comes later."""
    harness = Harness(
        mongo, database.name, handlers=(apply_ticket, sum_closed), take_along=take_along
    )
    huge = 6 * 10**18
    other = fact("o", 1, entity_id="T2", points=5, closes=True)
    closing = fact("e3", 3, closes=True)
    harness.process(other, fact("e1", 1, points=-huge), closing)
    assert harness.document("closed_sums", "acme")["points"] == 5 - huge
    harness.process(fact("e2", 2, points=huge))
    assert harness.states(closing)["closed.sum"] == "retrying"
    assert harness.document("closed_sums", "acme")["points"] == 5
    harness.retry()
    assert harness.states(closing)["closed.sum"] == "done"
    assert harness.document("closed_sums", "acme")["points"] == 5 + huge


def test_what_a_heal_has_done_is_not_written_over_by_finding_what_mongodb_refuses(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """Its own batch adds it a second time, which is too much; the first time stands."""
    harness = Harness(mongo, database.name, handlers=(apply_ticket, count_stock))
    later = fact("e2", 2, status="open", points=6 * 10**18)
    harness.submit(later)
    harness.run(harness.waiting.popleft())
    waiting = list(harness.waiting)
    harness.waiting.clear()
    harness.process(fact("e1", 1, points=0))
    assert harness.states(later)["stock.count"] == "done"
    harness.waiting.extend(waiting)
    harness.drain()
    assert harness.states(later)["stock.count"] == "done"
    assert harness.document("stock", "acme")["points"] == 6 * 10**18
