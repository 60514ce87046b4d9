"""Threads that submit single events at the same time: one transaction for many of them."""

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from pipeline import Event
from pipeline.dispatch import Receipt
from tests.facts import fact
from tests.integration.harness import Harness

SENDERS = 16


def together(harness: Harness, calls: list[list[Event]]) -> list[Receipt]:
    """Submit each call, from many threads; the receipts in the order of the calls."""
    with ThreadPoolExecutor(SENDERS) as senders:
        return list(senders.map(harness.dispatcher.submit, calls))


def test_each_caller_gets_the_receipt_of_its_own_events(harness: Harness) -> None:
    """Whoever they were stored with; of copies in several calls one is accepted."""
    singles = [fact(f"e{n}", n, entity_id=f"T{n % 7}") for n in range(200)]
    other = [event.model_copy(update={"type": "ticket.closed"}) for event in singles[:20]]
    odd = [fact(f"odd{n}", n, type="nobody.asks") for n in range(10)]
    calls = [[event] for event in chain(singles, singles[:50], odd)]
    receipts = together(harness, calls)
    for (event,), receipt in zip(calls, receipts, strict=True):
        assert receipt.accepted + receipt.duplicates == [event.key]
        assert receipt.unhandled == ({"nobody.asks": 1} if event in odd else {})
    accepted = [key for receipt in receipts for key in receipt.accepted]
    assert sorted(accepted) == sorted(event.key for event in (*singles, *odd))
    conflicting = together(harness, [[event] for event in other])
    assert [receipt.conflicts for receipt in conflicting] == [[event.key] for event in other]


def test_events_that_come_together_are_one_batch(harness: Harness) -> None:
    """And each of them has its effect once."""
    events = [fact(f"e{n}", n, entity_id=f"T{n}") for n in range(300)]
    together(harness, [[event] for event in events])
    batches = list(harness.waiting)
    assert sorted(key for batch in batches for key in batch.events) == sorted(
        event.key for event in events
    )
    assert len(batches) < len(events) / 2
    harness.drain()
    done = harness.store.database["ledger"].count_documents(
        {"_id": {"$in": [f"{event.key}|tickets.apply" for event in events]}, "state": "done"}
    )
    assert done == len(events)


def test_what_cannot_be_stored_is_the_trouble_of_its_caller_alone(harness: Harness) -> None:
    """A text that no UTF-8 can hold gets past the envelope, and not into MongoDB."""
    bad = fact("bad").model_copy(update={"entity_id": "\ud800"})
    calls = [[fact(f"e{n}", n, entity_id=f"T{n}")] for n in range(64)]
    calls[10:10] = [[bad]]
    with ThreadPoolExecutor(SENDERS) as senders:
        sent = [senders.submit(harness.dispatcher.submit, call) for call in calls]
    errors = [one.exception() for one in sent]
    assert [n for n, error in enumerate(errors) if error] == [10]
    assert isinstance(errors[10], UnicodeEncodeError)
    stored = harness.store.records.events.count()
    assert stored == 64
