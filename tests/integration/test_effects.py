"""Effects: done outside at least once, under one key, and never again once they are noted."""

from collections.abc import Iterator

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import Change, Event, Retry, State, action, effect, inc
from pipeline.declarations import Commutative
from pipeline.errors import DeclarationError
from pipeline.replay import audit
from pipeline.tracing import trace
from tests.facts import Document, fact
from tests.integration.harness import Harness

sent: list[tuple[str, str, int]] = []
faults: list[BaseException | None] = []


class Died(BaseException):
    """A worker's death in the middle of an effect."""


class Order(State):
    """An order."""

    status: str = "new"


@action("orders.apply", on="order.*", table="orders", key="{tenant}:{entity_id}")
def apply_order(state: Order | None, event: Event) -> Order:
    """Its status."""
    status = event.payload.get("status", (state or Order()).status)
    if not isinstance(status, str):
        raise TypeError(f"{status!r} is no status")
    return Order(status=status)


@effect("orders.mail", after=apply_order, max_attempts=3)
def mail(change: Change[Order], event: Event, key: str) -> bool:
    """Tell when an order is shipped."""
    if not change.entered("status", event.payload.get("mailed_as", "shipped")):
        return False
    sent.append((event.event_id, key, len(sent)))
    fault = faults.pop(0) if faults else None
    if fault is not None:
        raise fault
    return True


@pytest.fixture
def shop(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Harness]:
    """Give a pipeline with the effect; nothing is sent yet, and nothing fails."""
    sent.clear()
    faults.clear()
    yield Harness(mongo, database.name, handlers=(apply_order, mail))
    faults.clear()


def shipped(number: int = 1, **kw: object) -> Event:
    """An order that is shipped."""
    envelope = {"type": "order.changed", "entity_id": f"O{number}", "status": "shipped"}
    return fact(f"e{number}", number, **(envelope | kw))


def test_an_effect_is_done_once_after_the_change_is_committed(shop: Harness) -> None:
    """One call, one ledger row, and the key is the row's."""
    event = shipped()
    shop.process(event)
    assert [(who, key) for who, key, _ in sent] == [("e1", f"{event.key}|orders.mail")]
    assert shop.states(event) == {"orders.apply": "done", "orders.mail": "done"}
    assert shop.store.records.batches.idle()


def test_where_there_is_nothing_to_do_the_effect_is_skipped(shop: Harness) -> None:
    """The function says so."""
    event = shipped(status="paid")
    shop.process(event)
    assert sent == []
    assert shop.states(event)["orders.mail"] == "skipped"


def test_an_effect_can_read_the_payload_of_its_event(shop: Harness) -> None:
    """Which is read when it is asked for, after the transaction that began it."""
    event = shipped(status="gone", mailed_as="gone")
    shop.process(event)
    assert [who for who, *_ in sent] == ["e1"]
    assert shop.states(event)["orders.mail"] == "done"


def test_an_effect_waits_in_its_own_lane(shop: Harness) -> None:
    """What goes outside holds up nothing of ours."""
    shop.submit(shipped())
    outcome = shop.run(shop.waiting.popleft())
    assert [batch.lane for batch in outcome.following] == ["effects"]


def test_a_batch_of_effects_run_twice_sends_nothing_twice(shop: Harness) -> None:
    """A second delivery finds it done."""
    shop.submit(shipped(1), shipped(2))
    shop.run(shop.waiting.popleft())
    (batch,) = shop.waiting
    shop.drain()
    assert not shop.run(batch).claimed
    assert [who for who, *_ in sent] == ["e1", "e2"]


def test_a_worker_that_dies_after_sending_sends_again_under_the_same_key(shop: Harness) -> None:
    """At least once; the other side knows the repetition by the key, and the trace tells."""
    event = shipped()
    shop.submit(event)
    shop.run(shop.waiting.popleft())
    (batch,) = shop.waiting
    faults.append(Died())
    with pytest.raises(Died):
        shop.run(batch)
    assert shop.states(event)["orders.mail"] == "sending"
    shop.drain()
    assert len(sent) == 2
    assert len({key for _, key, _ in sent}) == 1
    assert shop.states(event)["orders.mail"] == "done"


def test_a_death_in_the_middle_of_a_batch_repeats_only_the_event_at_hand(shop: Harness) -> None:
    """Those before it are noted, those after it were never begun."""
    shop.submit(*(shipped(n) for n in range(5)))
    shop.run(shop.waiting.popleft())
    (batch,) = shop.waiting
    faults.extend([None, None, Died()])
    with pytest.raises(Died):
        shop.run(batch)
    shop.drain()
    assert [who for who, *_ in sent] == ["e0", "e1", "e2", "e2", "e3", "e4"]


def test_an_effect_that_fails_is_tried_again_alone(shop: Harness) -> None:
    """Its neighbours are done; the key stays."""
    events = [shipped(n) for n in range(3)]
    faults.append(OSError("no route"))
    shop.process(*events)
    states = [shop.states(event)["orders.mail"] for event in events]
    assert states == ["retrying", "done", "done"]
    shop.retry()
    assert [who for who, *_ in sent] == ["e0", "e1", "e2", "e0"]
    assert sent[0][1] == sent[3][1]
    assert set(shop.states(events[0]).values()) == {"done"}


def test_an_effect_can_ask_to_be_retried_and_dies_after_its_attempts(shop: Harness) -> None:
    """As every handler."""
    faults.extend([Retry(5, "busy"), OSError("no route"), OSError("no route")])
    event = shipped()
    shop.process(event)
    shop.retry()
    shop.retry()
    assert shop.states(event)["orders.mail"] == "dead"
    assert len(sent) == 3


def test_a_late_event_that_changes_the_past_repeats_no_effect(shop: Harness) -> None:
    """The tables heal; the mail is out."""
    shop.process(shipped(5, entity_id="O1"))
    assert len(sent) == 1
    late = shipped(2, entity_id="O1", status="shipped")
    shop.process(late)
    assert [who for who, *_ in sent] == ["e5", "e2"]
    assert shop.document("orders", "acme:O1")["status"] == "shipped"


def test_a_trace_shows_the_effect_below_its_fold(shop: Harness) -> None:
    """With no table: it happened outside."""
    event = shipped()
    shop.process(event)
    ((top,),) = [found.steps for found in trace(shop.store, shop.registry, "e1")]
    assert [(step.handler, step.table, step.state) for step in top.steps] == [
        ("orders.mail", "outside", "done")
    ]


def test_the_audit_asks_for_effects_too(shop: Harness) -> None:
    """An effect nobody did is lost."""
    event = shipped()
    shop.submit(event)
    shop.run(shop.waiting.popleft())
    rows = [(row.event, row.handler, row.state.value) for row in shop.store.records.ledger.scan()]
    found = audit(shop.registry, [event], rows)
    assert found.lost.count == 1
    shop.drain()
    rows = [(row.event, row.handler, row.state.value) for row in shop.store.records.ledger.scan()]
    assert audit(shop.registry, [event], rows).clean


def test_an_effect_that_does_not_say_whether_it_did_is_at_fault(shop: Harness) -> None:
    """An unknown answer is an error, and no success."""

    @effect("orders.silent", after=apply_order)
    def silent(_change: Change[Order], _event: Event, _key: str) -> None:
        """Say nothing."""

    other = Harness(shop.store.database.client, shop.store.database.name, (apply_order, silent))
    event = shipped()
    other.process(event)
    row = other.row(event, "orders.silent")
    assert row.error is not None
    assert "says whether it did it" in row.error["message"]


def test_an_effect_follows_a_fold_and_takes_three_things() -> None:
    """A declaration that is wrong fails where it stands."""

    @action("pages.count", on="page.*", table="pages", key="{tenant}")
    def count(_event: Event) -> object:
        """Count."""
        return inc(views=1)

    assert isinstance(count, Commutative)
    with pytest.raises(DeclarationError, match="takes a fold"):
        effect("pages.mail", after=count)(lambda _change, _event, _key: True)
    with pytest.raises(DeclarationError, match="takes 2 parameters"):
        effect("orders.mail", after=apply_order)(lambda _change, _event: True)
    with pytest.raises(DeclarationError, match="no handler name"):
        effect("mail", after=apply_order)(lambda _change, _event, _key: True)
