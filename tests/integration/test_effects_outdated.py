"""Effects that were done and would be different now: noted, listed, and never repeated."""

from collections.abc import Callable, Iterator

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import Change, Event, State, action, effect
from pipeline.replay import audit
from pipeline.store import Batch
from pipeline.store.ledger import LedgerRow
from pipeline.tracing import as_json, trace
from tests.facts import Document, fact
from tests.integration.undoing import Person, ledger

sent: list[tuple[str, str | None, str]] = []
faults: list[BaseException] = []
meanwhile: list[Callable[[], None]] = []


class Died(BaseException):
    """A worker's death in the middle of an effect."""


class Order(State):
    """An order."""

    status: str = "new"
    price: int = 0


@action("orders.apply", on="order.*", table="orders", key="{tenant}:{entity_id}")
def apply_order(state: Order | None, event: Event) -> Order:
    """What the payload names."""
    said, state = event.payload, state or Order()
    if said.get("needs", state.status) != state.status:
        raise ValueError(f"not {said['needs']}")
    return state.replace(
        status=said.get("status", state.status), price=said.get("price", state.price)
    )


@effect("orders.mail", after=apply_order, max_attempts=3)
def mail(change: Change[Order], event: Event, _key: str) -> bool:
    """Tell of every new status, with the price."""
    if meanwhile:
        meanwhile.pop()()
    if change.before is not None and change.before.status == change.after.status:
        return False
    sent.append((event.event_id, change.before and change.before.status, change.after.status))
    if faults:
        raise faults.pop(0)
    return True


@pytest.fixture
def shop(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Person]:
    """Give a pipeline with the effect; nothing is sent yet, and nothing fails."""
    sent.clear()
    faults.clear()
    meanwhile.clear()
    yield Person(mongo, database.name, handlers=(apply_order, mail))
    faults.clear()


def order(event_id: str, minute: float, **said: object) -> Event:
    """An event of the one order."""
    return fact(event_id, minute, type="order.changed", entity_id="O1", **said)


PAID, SHIPPED = order("e1", 1, status="paid", price=5), order("e3", 3, status="shipped")
LATE = order("e2", 2, status="packed")


def outdated(shop: Person) -> list[LedgerRow]:
    """What is listed."""
    return shop.store.records.ledger.outdated(limit=100)


def test_a_late_event_outdates_the_effects_whose_change_it_changes(shop: Person) -> None:
    """The mail of e3 said what was before it; it is not sent again."""
    shop.process(PAID, SHIPPED)
    shop.process(LATE)
    assert [who for who, *_ in sent] == ["e1", "e3", "e2"]
    (row,) = outdated(shop)
    assert (row.event, row.handler, row.state) == (SHIPPED.key, "orders.mail", "done")
    assert row.outdated is not None
    assert (row.outdated.by, row.outdated.at) == (LATE.key, shop.clock.now())


def test_a_late_event_that_changes_nothing_outdates_nothing(shop: Person) -> None:
    """The change that was seen is still the change."""
    shop.process(PAID, SHIPPED)
    shop.process(order("e2", 2))
    assert outdated(shop) == []


def test_an_undo_lists_what_is_out_and_what_it_outdates(shop: Person) -> None:
    """Its own effect can't be taken back; that of the next one would be another."""
    shop.process(PAID, LATE, SHIPPED)
    undone = shop.undo(LATE)
    assert [(row.event, row.handler) for row in undone.out] == [(LATE.key, "orders.mail")]
    assert [row.event for row in undone.outdated] == [SHIPPED.key]
    assert shop.states(LATE) == {"orders.apply": "voided", "orders.mail": "done"}
    assert {row.event for row in outdated(shop)} == {LATE.key, SHIPPED.key}
    assert len(sent) == 3


def test_undoing_the_undo_repeats_nothing_and_outdates_nothing(shop: Person) -> None:
    """What they had seen is true again."""
    shop.process(PAID, LATE, SHIPPED)
    shop.undo(LATE)
    shop.redo(LATE)
    assert len(sent) == 3
    assert outdated(shop) == []
    assert set(shop.states(LATE).values()) == {"done"}


def test_an_undo_of_the_late_event_makes_the_effects_right_again(shop: Person) -> None:
    """But for the late event's own."""
    shop.process(PAID, SHIPPED)
    shop.process(LATE)
    shop.undo(LATE)
    assert [row.event for row in outdated(shop)] == [LATE.key]


def test_an_effect_that_had_not_begun_is_not_done_after_the_undo(shop: Person) -> None:
    """And is done for the first time when the event comes again."""
    shop.submit(PAID)
    shop.run(shop.waiting.popleft())
    shop.undo(PAID)
    shop.drain()
    assert sent == []
    assert shop.states(PAID) == {"orders.apply": "voided", "orders.mail": "voided"}
    assert audit(shop.registry, [PAID], ledger(shop.store), (), {PAID.key}).clean
    shop.redo(PAID)
    assert [who for who, *_ in sent] == ["e1"]
    assert outdated(shop) == []


def test_an_effect_whose_worker_died_may_be_out_and_is_not_repeated_while_undone(
    shop: Person,
) -> None:
    """It stays as it is, and is listed."""
    shop.submit(PAID)
    shop.run(shop.waiting.popleft())
    (batch,) = shop.waiting
    faults.append(Died())
    with pytest.raises(Died):
        shop.run(batch)
    undone = shop.undo(PAID)
    assert [row.state.value for row in undone.out] == ["sending"]
    shop.drain()
    assert len(sent) == 1
    assert shop.states(PAID)["orders.mail"] == "sending"
    assert shop.store.records.batches.idle()
    shop.redo(PAID)
    assert len(sent) == 2
    assert shop.states(PAID)["orders.mail"] == "done"


def test_an_effect_that_waits_sees_the_change_as_a_late_event_has_made_it(
    shop: Person,
) -> None:
    """One that has not begun is not outdated."""
    shop.process(PAID)
    shop.submit(SHIPPED)
    shop.run(shop.waiting.popleft())
    waiting = list(shop.waiting)
    shop.waiting.clear()
    shop.process(LATE)
    assert shop.states(SHIPPED)["orders.mail"] == "waiting"
    shop.waiting.extend(waiting)
    shop.drain()
    assert sent[-1] == ("e3", "packed", "shipped")
    assert outdated(shop) == []


def test_what_changes_while_an_effect_is_done_outdates_it(shop: Person) -> None:
    """Noting that it is done keeps the note."""

    def come_late() -> None:
        shop.submit(LATE)
        shop.run(shop.waiting.pop())

    shop.process(PAID)
    shop.submit(SHIPPED)
    shop.run(shop.waiting.popleft())
    meanwhile.append(come_late)
    shop.drain()
    assert shop.states(SHIPPED)["orders.mail"] == "done"
    assert [row.event for row in outdated(shop)] == [SHIPPED.key]


def test_what_changes_while_there_is_nothing_to_do_is_looked_at_again(shop: Person) -> None:
    """For the change as it was there was nothing; now there is."""
    same = order("e3", 3, status="paid")

    def come_late() -> None:
        shop.submit(LATE)
        shop.run(shop.waiting.pop())

    shop.process(PAID)
    sent.clear()
    shop.submit(same)
    shop.run(shop.waiting.popleft())
    meanwhile.append(come_late)
    shop.drain()
    assert sorted(sent) == [("e2", "paid", "packed"), ("e3", "packed", "paid")]
    assert shop.states(same)["orders.mail"] == "done"


@pytest.mark.parametrize("fails", [True, False])
def test_an_effect_whose_event_is_undone_meanwhile_is_not_tried_again(
    shop: Person, *, fails: bool
) -> None:
    """Whether it fails or has nothing to do; and it is done when the event comes again."""
    event = SHIPPED if fails else order("e3", 3, status="paid")
    shop.process(PAID)
    sent.clear()
    shop.submit(event)
    shop.run(shop.waiting.popleft())
    meanwhile.append(lambda: shop.undo(event) and None)
    faults.extend([ConnectionResetError()] if fails else [])
    shop.drain()
    assert shop.states(event)["orders.mail"] == "voided"
    assert not shop.retry()
    assert shop.store.records.batches.idle()
    sent.clear()
    shop.redo(event)
    assert shop.states(event)["orders.mail"] == ("done" if fails else "skipped")
    assert len(sent) == fails


def test_a_batch_of_effects_that_another_worker_settles_meanwhile_is_left_alone(
    shop: Person,
) -> None:
    """Both do it, under one key; neither waits for the other, nor writes over what it noted."""
    shop.submit(PAID)
    shop.run(shop.waiting.popleft())
    (batch,) = shop.waiting
    shop.waiting.clear()
    meanwhile.append(lambda: shop.executor_of("worker-2").run([batch]) and None)
    faults.append(ConnectionResetError())  # of the other, who comes first
    outcome = shop.run(batch)
    assert outcome.done == 1
    assert shop.states(PAID)["orders.mail"] == "done"
    assert not shop.retry()
    assert [who for who, *_ in sent] == ["e1", "e1"]


def test_an_effect_of_an_event_that_falls_is_outdated(shop: Person) -> None:
    """It is out, and its event has no effect of its own any more."""
    needs = order("e4", 4, needs="packed", status="shipped")
    shop.process(PAID, LATE, needs)
    undone = shop.undo(LATE)
    assert [fallen.event for fallen in undone.fallen] == [needs.key]
    assert {row.event for row in outdated(shop)} == {LATE.key, needs.key}
    assert shop.states(needs) == {"orders.apply": "retrying", "orders.mail": "done"}
    shop.redo(LATE)
    shop.retry()
    assert outdated(shop) == []
    assert len(sent) == 3


def test_a_list_can_be_of_a_tenant_or_a_handler(shop: Person) -> None:
    """The longest known first, and no more than are asked for."""
    for tenant in ("beta", "acme"):
        events = [one.model_copy(update={"tenant": tenant}) for one in (PAID, SHIPPED, LATE)]
        events = [fact(**{**one.envelope(), **one.payload}) for one in events]
        shop.process(*events[:2])
        shop.process(events[2])
    rows = shop.store.records.ledger
    assert [row.event for row in rows.outdated(tenant="acme", limit=9)] == [SHIPPED.key]
    assert rows.outdated(handler="orders.slack", limit=9) == []
    assert len(rows.outdated(handler="orders.mail", limit=9)) == 2
    assert len(rows.outdated(limit=1)) == 1


def test_a_trace_tells_that_an_effect_is_outdated(shop: Person) -> None:
    """Since when, and by which event."""
    shop.process(PAID, SHIPPED)
    shop.process(LATE)
    (found,) = trace(shop.store, shop.registry, "e3")
    (told,) = as_json(found)["steps"][0]["steps"]
    assert told["outdated"] == {"at": shop.clock.now(), "by": LATE.key}
    assert isinstance(found.steps[0].steps[0].row, LedgerRow)


def test_a_batch_of_an_undone_event_and_another_does_the_others(shop: Person) -> None:
    """Each event by itself."""
    other = fact("f1", 1, type="order.changed", entity_id="O2", status="paid")
    shop.submit(PAID, other)
    shop.run(shop.waiting.popleft())
    (batch,) = shop.waiting
    assert isinstance(batch, Batch)
    shop.undo(PAID)
    shop.drain()
    assert [who for who, *_ in sent] == ["f1"]
