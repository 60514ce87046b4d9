"""Events held back for the one before them: no healing where it comes, nothing lost where not."""

import random
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline.disorder import Mark
from pipeline.event import Event
from pipeline.executor import Executor
from pipeline.holding import HoldEnd, HoldPolicy
from pipeline.lateness import HoldCost, Spread, costs, find
from pipeline.policies import PolicyWatch
from pipeline.store import LedgerState
from pipeline.store.policies import HoldPolicies, Scope
from pipeline.tracing import trace
from tests.databases import empty
from tests.facts import Document, fact
from tests.integration import numbered_handlers
from tests.integration.harness import NOW, Harness
from tests.integration.letters import Letters

GRACE: Final = timedelta(seconds=30)
GRACE_MS: Final = 30_000
SECOND: Final = timedelta(seconds=1)
APPLY: Final = "steps.apply"


class Holding(Letters):
    """Lanes, a worker and a sweeper, and a tenant, acme, that lets its events wait."""

    def __init__(self, client: MongoClient[Document], name: str, redis: Redis) -> None:
        super().__init__(client, name, redis, handlers=numbered_handlers.ALL)
        self.policies = HoldPolicies(self.store.database)
        self.watch = PolicyWatch(self.policies.all, HoldPolicy())
        self.let_wait(GRACE_MS, Scope(None, "acme"))
        self.executor = Executor(
            self.store,
            self.registry,
            self.clock,
            self.settings,
            worker="worker-1",
            grace=lambda handler, tenant: self.watch.policy_for(handler, tenant).grace_ms,
            along=self.settings.take_along,
        )

    def let_wait(self, milliseconds: int, scope: Scope) -> None:
        """Set a grace, which is seen at once."""
        self.policies.change(scope, {"grace_ms": milliseconds}, NOW)
        self.watch.look()

    def seqs(self, key: str = "acme:T1") -> tuple[int, ...]:
        """The numbers that a document has been folded from."""
        return tuple(self.document("steps", key)["seqs"])

    def marks(self) -> dict[str, str]:
        """What came out of order, by the event's id."""
        return {
            one.row.event.partition("@")[0]: one.disorder.mark.value
            for one in find(self.store).findings
        }


@pytest.fixture
def holding(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Holding:
    """Give a pipeline in which events may wait."""
    return Holding(mongo, database.name, redis_server)


def step(seq: int, minute: float | None = None, **fields: Any) -> Event:
    """The event of this number; it happened in the minute of its number."""
    at = seq if minute is None else minute
    return fact(fields.pop("name", f"s{seq}"), at, type="step.taken", seq=seq, **fields)


def test_an_event_waits_for_its_predecessor_and_is_then_in_order(holding: Holding) -> None:
    """No row is written twice, nothing is healed, and no attempt is counted."""
    holding.process(step(0))
    holding.process(step(2))
    assert holding.states(step(2)) == {APPLY: "held"}
    assert holding.seqs() == (0,)
    holding.clock.advance(3 * SECOND)
    holding.process(step(1))
    assert holding.seqs() == (0, 1, 2)
    assert holding.marks() == {}
    row = holding.row(step(2), APPLY)
    assert (row.state, row.attempt, row.error) == (LedgerState.DONE, 1, None)
    assert row.held is not None
    assert (row.held.end, row.held.ms) == (HoldEnd.PREDECESSOR, 3000)
    history = holding.everything()["steps_changes"].values()
    assert {row["event"]: row["_sync"]["write_at"] - NOW for row in history} == {
        step(0).key: 0 * SECOND,
        step(1).key: 3 * SECOND,
        step(2).key: 3 * SECOND,
    }
    assert holding.document("step_totals", "acme")["lengths"] == 1 + 2 + 3
    assert holding.store.records.batches.idle()


def test_all_that_wait_for_each_other_are_let_go_together(holding: Holding) -> None:
    """The last one comes first, in a document that is not there yet."""
    for seq in (4, 2, 3, 1):
        holding.process(step(seq))
    assert holding.store.records.ledger.in_trouble() == {"held": 4}
    assert holding.everything()["steps"] == {}
    holding.submit(step(0))
    outcome = holding.run(holding.waiting.popleft())
    freed = [batch for batch in outcome.following if batch.handler == APPLY]
    assert sorted(batch.events[0] for batch in freed) == [step(n).key for n in (1, 2, 3, 4)]
    holding.drain()
    assert holding.seqs() == (0, 1, 2, 3, 4)
    assert holding.marks() == {}


def test_an_event_is_let_go_once(holding: Holding) -> None:
    """Not again by each run on its document that comes before its own."""
    holding.process(step(1))
    holding.process(step(2))
    holding.submit(step(0))
    freed = holding.run(holding.waiting.popleft()).following
    assert [batch.handler for batch in freed].count(APPLY) == 2
    holding.waiting.clear()
    holding.submit(step(0, 0.5, name="twin"))
    again = holding.run(holding.waiting.popleft()).following
    assert [batch.handler for batch in again].count(APPLY) == 0


def test_what_is_applied_with_its_predecessor_is_not_let_go_as_well(holding: Holding) -> None:
    """Its own batch is run together with that one's."""
    holding.submit(step(1))
    waits = holding.waiting[0]
    holding.drain()
    holding.submit(step(0))
    outcome = holding.run(waits, holding.waiting.popleft())
    assert (outcome.done, [b for b in outcome.following if b.handler == APPLY]) == (2, [])
    assert holding.seqs() == (0, 1)


def test_of_a_chain_let_go_the_second_waits_for_the_first(holding: Holding) -> None:
    """Run before it, it is put aside again and let go again; it has its time still."""
    holding.process(step(1))
    holding.process(step(2))
    holding.submit(step(0))
    freed = holding.run(holding.waiting.popleft()).following
    first, second = (batch for batch in freed if batch.handler == APPLY)
    holding.waiting.clear()
    assert len(holding.run(second).held) == 1
    again = holding.run(first).following
    assert [batch.id for batch in again if batch.handler == APPLY] == [second.id]
    holding.settle()
    assert holding.seqs() == (0, 1, 2)
    assert holding.marks() == {}


def test_only_what_has_its_predecessor_is_let_go(holding: Holding) -> None:
    """The others wait on."""
    for seq in (5, 2, 0, 1):
        holding.process(step(seq))
    assert holding.seqs() == (0, 1, 2)
    assert holding.states(step(5)) == {APPLY: "held"}


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_within_a_batch_nothing_needs_to_wait(holding: Holding, order: tuple[int, ...]) -> None:
    """Its events are let in by their numbers, as if they had waited for each other."""
    holding.process(*(step(seq) for seq in order))
    assert holding.seqs() == (0, 1, 2)
    assert (holding.marks(), costs(holding.store)) == ({}, [])


def test_when_the_grace_is_over_it_is_applied_and_a_later_predecessor_heals(
    holding: Holding,
) -> None:
    """Marked as a gap; results are those of events in order in the end."""
    holding.process(step(0))
    holding.process(step(2))
    assert holding.sweep(after=GRACE - SECOND).due == 0
    assert holding.sweep(after=SECOND).enqueued == 1
    holding.work()
    assert holding.seqs() == (0, 2)
    assert holding.marks() == {"s2": "gap"}
    row = holding.row(step(2), APPLY)
    assert row.held is not None
    assert (row.held.end, row.held.ms, row.attempt) == (HoldEnd.GRACE, GRACE_MS, 1)
    holding.process(step(1))
    assert holding.seqs() == (0, 1, 2)
    assert holding.marks() == {"s1": "late", "s2": "gap"}
    assert holding.document("step_totals", "acme") | {"_sync": None} == {
        "_id": "acme",
        "tenant": "acme",
        "steps": 3,
        "lengths": 6,
        "_sync": None,
    }


def test_what_waits_for_an_event_whose_grace_is_over_is_let_go_by_it(holding: Holding) -> None:
    """It has its predecessor then, and is in order."""
    holding.process(step(2))
    holding.clock.advance(10 * SECOND)
    holding.process(step(3))
    holding.sweep(after=GRACE - 10 * SECOND)
    holding.work()
    assert holding.seqs() == (2, 3)
    assert holding.marks() == {"s2": "gap"}
    assert holding.store.records.batches.idle()


def test_a_wipe_of_redis_loses_nothing_that_waits(holding: Holding, redis_server: Redis) -> None:
    """It stands in the outbox with the end of its grace."""
    holding.submit(step(2))
    holding.work()
    redis_server.flushall()
    assert holding.states(step(2)) == {APPLY: "held"}
    holding.sweep(after=GRACE)
    holding.work()
    assert holding.seqs() == (2,)
    assert holding.store.records.batches.idle()


def test_a_wipe_just_after_it_was_let_go_loses_nothing_either(
    holding: Holding, redis_server: Redis
) -> None:
    """It was made due with its predecessor, and the sweeper finds it before its grace is over."""
    holding.submit(step(1))
    holding.work()
    holding.submit(step(0))
    holding.run(holding.waiting.popleft())
    holding.waiting.clear()
    redis_server.flushall()
    rescue_after = timedelta(seconds=holding.settings.rescue_after)
    assert rescue_after < GRACE
    holding.sweep(after=rescue_after)
    holding.work()
    assert holding.seqs() == (0, 1)
    assert holding.marks() == {}


def test_jobs_of_events_that_waited_run_to_their_end_in_rq(
    holding: Holding, redis_server: Redis
) -> None:
    """Held as a batch of one, it comes back under the same id, and nothing stays on a shelf."""
    for seq in (3, 2, 1, 0):
        holding.submit(step(seq))
        holding.work()
    assert holding.seqs() == (0, 1, 2, 3)
    assert holding.store.records.batches.idle()
    assert (holding.failed(), holding.scheduled()) == (set(), set())
    assert sum(holding.lanes.lengths().values()) == 0


def test_a_tenant_without_a_grace_is_not_touched(holding: Holding) -> None:
    """Its events are applied as they come, and nothing is asked for it."""
    beta = [step(seq, tenant="beta") for seq in (0, 2, 1)]
    for event in beta:
        holding.process(event)
    assert holding.seqs("beta:T1") == (0, 1, 2)
    assert holding.marks() == {"s2": "gap", "s1": "late"}
    assert all(holding.row(event, APPLY).held is None for event in beta)
    assert costs(holding.store) == []


def test_folds_whose_events_are_not_numbered_hold_nothing_back(holding: Holding) -> None:
    """Though the tenant has a grace and the events have numbers."""
    holding.process(fact("n5", 5, type="note.taken", seq=5))
    assert holding.document("notes", "acme:T1")["seqs"] == [5]
    assert "numbers" not in holding.document("notes", "acme:T1")["_sync"]


def test_an_event_without_a_number_waits_for_nothing(holding: Holding) -> None:
    """Not every event of a numbered fold needs one."""
    holding.process(fact("odd", 5, type="step.taken"))
    assert holding.states(fact("odd"))[APPLY] == "done"


def test_the_grace_can_be_changed_while_workers_run(holding: Holding) -> None:
    """What waits keeps its time; what comes then waits for as long as is set now."""
    holding.process(step(2))
    holding.let_wait(5_000, Scope(APPLY, "acme"))
    holding.process(step(2, entity_id="T2", name="t2"))
    holding.sweep(after=5 * SECOND)
    holding.work()
    assert holding.seqs("acme:T2") == (2,)
    assert holding.states(step(2)) == {APPLY: "held"}
    holding.sweep(after=GRACE - 5 * SECOND)
    holding.work()
    assert holding.seqs() == (2,)


def test_where_the_grace_is_taken_away_nothing_waits_any_more(holding: Holding) -> None:
    """New events are applied at once, and the old ones when they are due."""
    holding.process(step(2))
    holding.let_wait(0, Scope(None, "acme"))
    holding.process(step(4))
    assert holding.marks() == {"s4": "gap"}
    holding.sweep(after=GRACE)
    holding.work()
    assert holding.seqs() == (2, 4)
    held = holding.row(step(2), APPLY).held
    assert held is not None
    assert held.end is HoldEnd.GRACE


def test_an_event_that_is_delivered_again_waits_on_as_it_did(holding: Holding) -> None:
    """Neither its time nor its attempts begin anew."""
    holding.submit(step(2))
    batch = holding.waiting[0]
    holding.drain()
    before = holding.row(step(2), APPLY).held
    holding.clock.advance(10 * SECOND)
    outcome = holding.run(batch)
    assert [one.due_at for one in outcome.held] == [NOW + GRACE]
    assert holding.row(step(2), APPLY).held == before
    assert holding.row(step(2), APPLY).attempt == 1
    (due,) = holding.store.records.batches.due(NOW + GRACE, 10)
    assert (due.id, due.attempt) == (batch.id, 0)


def test_in_a_batch_only_the_events_that_lack_one_wait(holding: Holding) -> None:
    """Their neighbours are done; each that waits has a batch of its own."""
    holding.submit(
        step(0), step(2), step(0, entity_id="T2", name="t0"), step(9, entity_id="T2", name="t9")
    )
    outcome = holding.run(holding.waiting.popleft())
    assert outcome.done == 2
    assert sorted(one.batch.events for one in outcome.held) == [(step(2).key,), ("t9@acme/desk",)]
    assert holding.seqs() == holding.seqs("acme:T2") == (0,)


def test_an_event_that_fails_once_let_go_waited_all_the_same(holding: Holding) -> None:
    """It is tried again as others are, holds nothing up, and does not wait a second time."""
    holding.process(step(1, fails=True))
    holding.process(step(0))
    row = holding.row(step(1), APPLY)
    assert (row.state, row.attempt) == (LedgerState.RETRYING, 1)
    assert row.held is not None
    assert row.held.end is HoldEnd.PREDECESSOR
    holding.settle()
    dead = holding.row(step(1), APPLY)
    assert (dead.state, dead.attempt, dead.held) == (LedgerState.DEAD, 3, row.held)


def test_after_a_failed_predecessor_the_next_event_waits_for_its_success(
    holding: Holding,
) -> None:
    """Or for the end of its grace."""
    holding.process(step(0))
    holding.process(step(1, fails=True))
    holding.process(step(2))
    assert holding.states(step(2)) == {APPLY: "held"}
    holding.settle()
    assert holding.seqs() == (0, 2)
    assert holding.marks() == {"s2": "gap"}


def test_two_events_of_one_number_are_both_let_go(holding: Holding) -> None:
    """A source may number badly; nothing is lost by it."""
    holding.process(step(1))
    holding.process(step(1, 1.5, name="twin"))
    holding.process(step(0))
    assert holding.seqs() == (0, 1, 1)
    assert holding.store.records.batches.idle()


def test_the_sources_of_a_document_wait_for_their_own_events(holding: Holding) -> None:
    """One's number is not the other's."""
    holding.process(step(1, source="a", name="a1"))
    holding.process(step(0, 5, source="b", name="b0"))
    assert holding.seqs() == (0,)
    holding.process(step(0, source="a", name="a0"))
    assert holding.seqs() == (0, 1, 0)


def test_a_trace_says_that_an_event_waits(holding: Holding) -> None:
    """As the ledger does."""
    holding.process(step(3))
    (found,) = trace(holding.store, holding.registry, "s3")
    assert [one.state for one in found.steps] == ["held"]


def test_what_waiting_cost_is_counted_by_tenant_and_handler(holding: Holding) -> None:
    """How many waited, what ended it, and how long it took."""
    holding.let_wait(GRACE_MS, Scope(None, "beta"))
    for tenant in ("acme", "beta"):
        holding.process(step(1, tenant=tenant))
    holding.clock.advance(2 * SECOND)
    holding.process(step(0))
    holding.process(step(7, entity_id="T7", name="t7"))
    holding.sweep(after=GRACE - 2 * SECOND)
    holding.work()
    assert costs(holding.store) == [
        HoldCost("acme", APPLY, 1, 1, 0, Spread(2000, 2000, 2000)),
        HoldCost("beta", APPLY, 0, 0, 1, Spread(GRACE_MS, GRACE_MS, GRACE_MS)),
    ]
    assert [one.held for one in costs(holding.store)] == [2, 1]


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_arrival_ends_in_the_tables_of_events_in_order(
    mongo: MongoClient[Document],
    database: Database[Document],
    redis_server: Redis,
    data: st.DataObject,
) -> None:
    """With time passing and Redis wiped in between; and while time stands still nothing is late."""
    numbers = data.draw(st.permutations(range(6)))
    passing = data.draw(st.lists(st.booleans(), min_size=6, max_size=6))
    cuts = random.Random(data.draw(st.integers(0, 99)))
    expected = Harness(mongo, f"{database.name}_e", numbered_handlers.ALL)
    live = Holding(mongo, f"{database.name}_l", redis_server)
    try:
        expected.process(*(step(seq) for seq in range(6)))
        left = list(zip(numbers, passing, strict=True))
        while left:
            size = cuts.randint(1, 3)
            now, left = left[:size], left[size:]
            live.submit(*(step(seq) for seq, _ in now))
            live.work()
            if any(passed for _, passed in now):
                redis_server.flushall()
                live.sweep(after=GRACE)
                live.work()
        live.settle()
        assert live.domain() == expected.domain()
        if not any(passing):
            assert live.marks() == {}
        assert set(live.marks().values()) <= {Mark.LATE, Mark.GAP}
        assert live.store.records.ledger.in_trouble() == {}
    finally:
        empty(mongo[f"{database.name}_e"])
        empty(mongo[f"{database.name}_l"])
