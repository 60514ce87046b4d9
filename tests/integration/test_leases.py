"""Leases around runs: whose ids are busy waits alone, and a worker that slept loses."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline import Event, State, action
from pipeline.clock import SystemClock
from pipeline.executor import Executor, Rescuer, Step, Turns
from pipeline.executor.locking import Locking
from pipeline.executor.steps import Hooks, go_on
from pipeline.locks import Keeper, Lease, LockPolicy, Locks
from pipeline.policies import PolicyWatch
from pipeline.store.policies import LockPolicies, Scope
from tests.facts import Document, fact
from tests.integration.harness import APART, NOW, Harness
from tests.integration.sample_handlers import broken

T1, T2 = "tickets:acme:T1", "tickets:acme:T2"
WITH_OBSERVERS = 3
"""Effects of the fold on one event, with those of the two observers that it takes along."""


class Leasing(Harness):
    """The harness with leases from a real Redis; nobody waits for a busy id."""

    def __init__(self, client: MongoClient[Document], name: str, redis: Redis, **kw: Any) -> None:
        super().__init__(client, name, **kw)
        self.locks = Locks(redis, SystemClock())
        self.policies = LockPolicies(self.store.database)
        self.policies.change(Scope(None, None), {"wait_ms": 0}, NOW)
        self.stack = ExitStack()
        self.executor = self.worker("worker-1")

    def worker(self, name: str, passing: Callable[[Step], None] = go_on) -> Executor:
        """An executor that takes leases, with side threads of its own."""
        keeper = self.stack.enter_context(Keeper(self.locks, SystemClock()))
        watch = self.stack.enter_context(PolicyWatch(self.policies.all, LockPolicy()))
        return Executor(
            self.store,
            self.registry,
            self.clock,
            self.settings,
            worker=name,
            locking=Locking(self.locks, keeper, watch, name),
            hooks=Hooks(passing),
            along=self.settings.take_along,
        )

    def held_by_another(self, *keys: str) -> Lease:
        """Let somebody else hold these ids."""
        return self.locks.take(keys, "another", ttl_ms=60_000)


@pytest.fixture
def leasing(
    mongo: MongoClient[Document],
    database: Database[Document],
    redis_server: Redis,
    take_along: int,
) -> Iterator[Leasing]:
    """Give a pipeline whose executors take leases."""
    broken.clear()
    leasing = Leasing(mongo, database.name, redis_server, take_along=take_along)
    with leasing.stack:
        yield leasing


def test_only_the_events_of_a_busy_id_wait(leasing: Leasing) -> None:
    """They become a batch of their own at the end of the lane; the others are done."""
    one, two = fact("e1", add=1), fact("e2", entity_id="T2", add=2)
    leasing.submit(one, two)
    lease = leasing.held_by_another(T1)
    outcome = leasing.run(leasing.waiting.popleft())
    assert outcome.done == WITH_OBSERVERS
    assert [batch.events for batch in outcome.following if batch.lane == "actions"] == [(one.key,)]
    assert leasing.document("tickets", "acme:T2")["points"] == 2
    assert leasing.states(one) == {}
    leasing.locks.release(lease)
    leasing.drain()
    assert leasing.document("tickets", "acme:T1")["points"] == 1
    assert leasing.store.records.batches.idle()


def test_a_batch_whose_ids_are_all_busy_goes_to_the_end_of_its_lane(leasing: Leasing) -> None:
    """As it is: nothing is written, and no attempt is counted."""
    leasing.submit(fact("e1"))
    batch = leasing.waiting.popleft()
    before = leasing.everything()
    lease = leasing.held_by_another(T1)
    outcome = leasing.run(batch)
    assert (outcome.following, outcome.done) == ([batch], 0)
    assert leasing.everything() == before
    leasing.locks.release(lease)
    assert leasing.run(batch).done == WITH_OBSERVERS


def test_a_run_holds_its_ids_until_its_commit_and_no_longer(
    leasing: Leasing, redis_server: Redis
) -> None:
    """From before the transaction until after it."""
    seen: dict[Step, bool] = {}

    def look(step: Step) -> None:
        seen[step] = bool(redis_server.exists(f"pipeline:lock:{T1}"))

    leasing.submit(fact("e1"))
    leasing.run(leasing.waiting.popleft(), executor=leasing.worker("w", look))
    assert {step for step, held in seen.items() if held} == set(Step) - {
        Step.TAKEN,
        Step.LOADED,
        Step.RELEASED,
    }


def test_the_record_of_a_run_spans_its_hold_from_the_lease_to_the_last_write(
    leasing: Leasing,
) -> None:
    """A second passes before the reads, one before the writes, and one before the claim."""
    moments: dict[Step, datetime] = {}

    def wait(step: Step) -> None:
        leasing.clock.advance(timedelta(seconds=1))
        moments[step] = leasing.clock.now()

    leasing.submit(fact("e1"))
    batch = leasing.waiting.popleft()
    leasing.run(batch, executor=leasing.worker("w", wait))
    run = leasing.store.records.batches.runs([batch.id])[batch.id]
    # Locked when the events had been read, and over once the ledger was written.
    assert (run.locked_at, run.written_at) == (moments[Step.LOADED], moments[Step.RECORDED])


def test_observers_that_were_taken_along_held_no_ids(leasing: Leasing) -> None:
    """As if they had followed: only folds take leases."""
    leasing.submit(fact("e1"))
    batch = leasing.waiting.popleft()
    (along,) = leasing.run(batch).along
    runs = leasing.store.records.batches.runs([batch.id, along.id])
    assert runs[batch.id].fence is not None
    assert (runs[along.id].fence, runs[along.id].locked_at) == (None, None)
    assert runs[along.id].written_at == runs[batch.id].written_at


def test_a_worker_that_slept_beyond_its_lease_does_not_overwrite_newer_state(
    leasing: Leasing, redis_server: Redis
) -> None:
    """It meets a fence above its own, takes the id anew, and applies its event to what is there."""
    first, second = fact("e1", 1, status="old", add=1), fact("e2", 2, status="new", add=2)
    leasing.submit(first)
    leasing.submit(second)
    mine, other = leasing.waiting
    leasing.waiting.clear()
    slept: list[int] = []

    def sleep_once(step: Step) -> None:
        if step is Step.BEGUN and not slept:
            # What a lease's end does while its owner is stopped.
            redis_server.delete(f"pipeline:lock:{T1}")
            assert leasing.run(other).done == WITH_OBSERVERS
            slept.append(leasing.document("tickets", "acme:T1")["_sync"]["fence"])

    outcome = leasing.run(mine, executor=leasing.worker("sleeper", sleep_once))
    assert outcome.done == 1
    ticket = leasing.document("tickets", "acme:T1")
    assert (ticket["status"], ticket["points"]) == ("new", 3)
    run = leasing.store.records.batches.runs([mine.id])[mine.id]
    assert run.fence is not None
    assert ticket["_sync"]["fence"] == run.fence > slept[0]


def test_a_worker_whose_lease_was_lost_before_its_commit_does_not_commit_under_it(
    leasing: Leasing, redis_server: Redis
) -> None:
    """The keeper finds the loss, the transaction is undone, and the next lease is above it."""
    fences: list[int] = []

    def lose_once(step: Step) -> None:
        if step is Step.LOCKED:
            fences.append(int(redis_server.get("pipeline:fence") or 0))
        if step is Step.CLAIMED and len(fences) == 1:
            redis_server.flushall()
            keeper_of(executor).lost = lambda _lease: frozenset({T1})  # type: ignore[method-assign]
        if step is Step.LOCKED and len(fences) == 2:
            keeper_of(executor).lost = lambda _lease: frozenset()  # type: ignore[method-assign]

    leasing.submit(fact("e1", add=1))
    batch = leasing.waiting.popleft()
    executor = leasing.worker("w", lose_once)
    assert leasing.run(batch, executor=executor).done == 1
    assert len(fences) == 2
    assert leasing.document("tickets", "acme:T1")["points"] == 1
    run = leasing.store.records.batches.runs([batch.id])[batch.id]
    assert run.fence == fences[1] > fences[0]


def keeper_of(executor: Executor) -> Keeper:
    """The executor's keeper."""
    locking = executor._locking  # noqa: SLF001 - a loss is injected where it is noticed
    assert locking is not None
    return locking._keeper  # noqa: SLF001


def test_switched_off_no_lease_is_taken(leasing: Leasing) -> None:
    """A busy id does not matter then; transactions decide."""
    leasing.policies.change(Scope("tickets.apply", "acme"), {"enabled": False}, NOW)
    executor = leasing.worker("w")
    leasing.held_by_another(T1)
    leasing.submit(fact("e1", add=1))
    assert leasing.run(leasing.waiting.popleft(), executor=executor).done == WITH_OBSERVERS
    assert "fence" not in leasing.document("tickets", "acme:T1")["_sync"]


def test_a_policy_changed_while_a_worker_runs_is_followed(leasing: Leasing) -> None:
    """Without a restart: the next look of its side thread finds it."""
    lease = leasing.held_by_another(T1)
    leasing.submit(fact("e1", add=1))
    batch = leasing.waiting.popleft()
    assert leasing.run(batch).done == 0
    leasing.policies.change(Scope(None, "acme"), {"when_busy": "proceed"}, NOW)
    while not leasing.run(batch).done:
        leasing.waiting.clear()
    leasing.locks.release(lease)
    assert leasing.document("tickets", "acme:T1")["points"] == 1


def test_without_redis_runs_go_on_without_leases(leasing: Leasing) -> None:
    """Leases are for order and speed."""
    leasing.locks = Locks(Redis(port=1, socket_connect_timeout=0.2), SystemClock())
    executor = leasing.worker("w")
    leasing.submit(fact("e1", add=1))
    assert leasing.run(leasing.waiting.popleft(), executor=executor).done == WITH_OBSERVERS


@APART
def test_observers_take_no_leases(leasing: Leasing, redis_server: Redis) -> None:
    """What they add up has no order, and a total would be held all the time."""
    leasing.submit(fact("e1"))
    leasing.run(leasing.waiting.popleft())
    leasing.held_by_another("owners:acme:ann", "tenant_totals:acme")
    before = redis_server.get("pipeline:fence")
    leasing.drain()
    assert redis_server.get("pipeline:fence") == before
    assert leasing.store.records.batches.idle()


class Line(State):
    """The events of an entity as they were run."""

    seen: tuple[str, ...] = ()


@action("lines.add", on="line.*", table="lines", key="{tenant}:{entity_id}", ordered=True)
def add_line(state: Line | None, event: Event) -> Line:
    """One more."""
    return Line(seen=(*(state.seen if state else ()), event.event_id))


@pytest.fixture
def ordered(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Iterator[Leasing]:
    """Give a pipeline with a handler that keeps the order of the queue."""
    leasing = Leasing(mongo, database.name, redis_server, handlers=(add_line,))
    leasing.dispatcher._enlist = leasing.locks.enlist  # noqa: SLF001 - as the application wires it
    with leasing.stack:
        yield leasing


def test_where_a_handler_keeps_the_order_of_the_queue_nobody_overtakes(ordered: Leasing) -> None:
    """Run in the wrong order, the later batch waits until the earlier one is done."""
    events = [fact(f"e{n}", n, type="line.came") for n in range(3)]
    other = fact("x", 9, type="line.came", entity_id="T2")
    for event in (*events, other):
        ordered.submit(event)
    first, second, third, free = ordered.waiting
    ordered.waiting.clear()
    assert ordered.run(third).done == 0
    assert ordered.run(second).done == 0
    assert ordered.run(free).done == 1
    assert ordered.run(first).done == 1
    assert ordered.run(third).done == 0
    assert ordered.run(second).done == 1
    assert ordered.run(third).done == 1
    assert ordered.document("lines", "acme:T1")["seen"] == ["e0", "e1", "e2"]
    assert all(row.late_ms is None for e in events for row in rows_of(ordered, e))


def rows_of(harness: Harness, event: Event) -> list[Any]:
    """The ledger rows of an event."""
    return harness.store.records.ledger.of_event(event.key)


def test_the_part_of_a_batch_that_is_put_off_keeps_its_turn(ordered: Leasing) -> None:
    """A later batch of the same id does not slip in between."""
    ordered.submit(fact("e1", 1, type="line.came"), fact("x1", 1, type="line.came", entity_id="T2"))
    ordered.submit(fact("e2", 2, type="line.came"))
    both, later = ordered.waiting
    ordered.waiting.clear()
    lease = ordered.held_by_another("lines:acme:T1")
    (rest,) = ordered.run(both).following
    ordered.locks.release(lease)
    assert ordered.run(later).done == 0
    assert ordered.run(rest).done == 1
    assert ordered.run(later).done == 1


def test_the_parts_of_a_batch_that_is_cut_have_its_turn(ordered: Leasing) -> None:
    """MongoDB refuses it as a whole; nobody slips in between its halves, or waits for it."""

    def refuse(step: Step) -> None:
        if step is Step.WRITTEN:
            raise RuntimeError("MongoDB refuses")

    events = [fact(f"e{n}", n, type="line.came") for n in range(3)]
    ordered.submit(*events[:2])
    ordered.submit(events[2])
    both, later = ordered.waiting
    ordered.waiting.clear()
    first, second = ordered.run(both, executor=ordered.worker("w", refuse)).following
    assert (first.events, second.events) == ((events[0].key,), (events[1].key,))
    assert ordered.run(later).done == 0
    assert ordered.run(second).done == 0
    assert [ordered.run(batch).done for batch in (first, second, later)] == [1, 1, 1]
    assert ordered.document("lines", "acme:T1")["seen"] == ["e0", "e1", "e2"]


def rescuer_of(harness: Leasing) -> Rescuer:
    """Who decides how a batch goes on that a worker died of."""
    return Rescuer(
        harness.store, harness.registry, harness.clock, harness.settings, Turns(harness.locks)
    )


def test_the_parts_of_a_batch_that_workers_died_of_have_its_turn(ordered: Leasing) -> None:
    """The suspect stays between its neighbours, and who stood behind them all waits for each."""
    events = [fact(f"e{n}", n, type="line.came") for n in range(4)]
    ordered.submit(*events[:3])
    ordered.submit(events[3])
    three, later = ordered.waiting
    ordered.waiting.clear()
    rescuer = rescuer_of(ordered)
    (again,) = rescuer.rescue(three.id, None).following
    assert ordered.run(later).done == 0
    parts = rescuer.rescue(again.id, events[1].key).following
    assert [part.events for part in parts] == [(event.key,) for event in events[:3]]
    for turn, part in enumerate(parts):
        for out_of_turn in (*parts[turn + 1 :], later):
            assert ordered.run(out_of_turn).done == 0
        assert ordered.run(part).done == 1
    assert ordered.run(later).done == 1
    assert ordered.document("lines", "acme:T1")["seen"] == ["e0", "e1", "e2", "e3"]


def test_an_event_that_is_set_aside_for_its_deaths_leaves_its_line(ordered: Leasing) -> None:
    """Who stands behind it has waited long enough."""
    for n in range(2):
        ordered.submit(fact(f"e{n}", n, type="line.came"))
    deadly, later = ordered.waiting
    ordered.waiting.clear()
    rescuer = rescuer_of(ordered)
    rescuer.rescue(deadly.id, None)
    assert ordered.run(later).done == 0
    assert rescuer.rescue(deadly.id, None).failures
    assert ordered.run(later).done == 1


def test_small_ordered_batches_run_together_in_their_order(ordered: Leasing) -> None:
    """All of them are ours, so none waits for another."""
    for n in range(3):
        ordered.submit(fact(f"e{n}", n, type="line.came"))
    batches = list(ordered.waiting)
    ordered.waiting.clear()
    assert ordered.run(*batches).done == 3
    assert ordered.document("lines", "acme:T1")["seen"] == ["e0", "e1", "e2"]


def test_after_a_wipe_of_redis_order_is_free_and_everything_is_done(
    ordered: Leasing, redis_server: Redis
) -> None:
    """A late event heals instead."""
    for n in range(2):
        ordered.submit(fact(f"e{n}", n, type="line.came"))
    first, second = ordered.waiting
    redis_server.flushall()
    assert ordered.run(second).done == 1
    assert ordered.run(first).done == 1
    assert ordered.document("lines", "acme:T1")["seen"] == ["e0", "e1"]
