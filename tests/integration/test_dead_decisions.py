"""What a person decides about dead letters: requeue, discard, and what must not undo it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline.dead_letters import Decided, Decisions, Where, deciding
from pipeline.event import Event
from pipeline.executor import Outcome
from pipeline.queue import JobQueue
from pipeline.store import LedgerRow, Records
from pipeline.store.batches import Batches
from pipeline.tracing import as_json, trace
from tests.facts import Document, fact
from tests.integration.letters import Letters, fetch, job_of, tickets
from tests.integration.sample_handlers import apply_ticket, broken

HOUR = timedelta(hours=1)

Make = Callable[..., Letters]


@pytest.fixture
def made(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Iterator[Make]:
    """Give what makes a pipeline; its handlers give up after two attempts unless told otherwise."""
    broken.clear()
    yield lambda **options: Letters(
        mongo, database.name, redis_server, **({"max_attempts": 2} | options)
    )
    broken.clear()


@pytest.fixture
def pipeline(made: Make) -> Letters:
    """Give a pipeline whose handlers give up after two attempts."""
    return made()


def ids(pipeline: Letters) -> list[str]:
    """What decisions name the letters by."""
    return [letter.id for letter in pipeline.letters()]


def stored(pipeline: Letters, event: Event, handler: str = "tickets.apply") -> Document:
    """The batch of the event alone, as it is stored."""
    found = pipeline.store.database["batches"].find_one({"_id": job_of(event, handler)})
    assert found is not None
    return found


def test_a_requeued_letter_is_run_and_its_observers_follow(pipeline: Letters) -> None:
    """As if it had never failed."""
    event = fact("e1", status="open", add=1)
    pipeline.bury(event)
    broken.clear()
    assert pipeline.decisions.requeue(ids(pipeline)) == Decided(done=1)
    pipeline.work()
    assert set(pipeline.states(event).values()) == {"done"}
    assert len(pipeline.states(event)) == 4
    assert pipeline.document("tenant_totals", "acme")["tickets"] == 1
    assert (pipeline.letters(), pipeline.failed()) == ([], set())


def test_a_requeued_letter_has_all_its_attempts_again(pipeline: Letters) -> None:
    """Counted from one; the one RQ gives would have been the last."""
    event = fact("e1")
    pipeline.bury(event)
    pipeline.decisions.requeue(ids(pipeline))
    row = pipeline.row(event, "tickets.apply")
    assert (row.state, (row.error or {})["message"]) == ("retrying", "told to fail on e1")
    seen = []
    for _ in range(2):
        pipeline.work()
        row = pipeline.row(event, "tickets.apply")
        seen.append((row.attempt, row.state.value))
        pipeline.sweep(after=HOUR)
    assert seen == [(1, "retrying"), (2, "dead")]


def test_a_requeued_letter_forgets_the_workers_that_died_of_it(pipeline: Letters) -> None:
    """It is run like any other, not alone and watched."""
    event = fact("e1")
    pipeline.bury(event)
    pipeline.store.database["batches"].update_one({"_id": job_of(event)}, {"$set": {"deaths": 2}})
    pipeline.decisions.requeue(ids(pipeline))
    found = stored(pipeline, event)
    assert (found["attempt"], found["done"], "deaths" in found) == (0, False, False)
    job = fetch(pipeline.redis, job_of(event))
    assert job is not None
    assert job.args[3:] == [0, 0]


def test_a_requeued_letter_is_shown_as_failed_no_more(pipeline: Letters) -> None:
    """It waits in its lane, and is in no registry."""
    event = fact("e1")
    pipeline.bury(event)
    assert pipeline.failed() == {job_of(event)}
    pipeline.decisions.requeue(ids(pipeline))
    assert (pipeline.failed(), pipeline.scheduled()) == (set(), set())
    assert pipeline.lanes.lengths() == {"actions": 1, "observers": 0, "effects": 0, "repair": 0}


def test_requeueing_twice_is_once(pipeline: Letters) -> None:
    """Also with ids given twice, of letters that never were, and after it was run."""
    event = fact("e1", add=1)
    pipeline.bury(event)
    broken.clear()
    found = ids(pipeline)
    assert pipeline.decisions.requeue([*found, *found]) == Decided(done=1)
    assert pipeline.decisions.requeue([*found, "no@such/event|tickets.apply"]) == Decided(
        left_alone=2
    )
    pipeline.work()
    assert pipeline.decisions.requeue(found) == Decided(left_alone=1)
    pipeline.work()
    assert pipeline.document("tickets", "acme:T1")["points"] == 1


def test_what_redis_did_not_hear_of_a_requeue_the_sweeper_puts_right(
    pipeline: Letters,
) -> None:
    """The letter is put back in MongoDB; the registry lets go of it when it is enqueued."""
    event = fact("e1")
    pipeline.bury(event)
    broken.clear()
    nowhere = JobQueue(Redis.from_url("redis://127.0.0.1:1/0"))
    deaf = Decisions(pipeline.store, pipeline.registry, nowhere, pipeline.clock, pipeline.settings)
    assert deaf.requeue(ids(pipeline)) == Decided(done=1, untold=1)
    assert pipeline.failed() == {job_of(event)}
    assert pipeline.sweep(after=HOUR).enqueued == 1
    assert pipeline.failed() == set()
    pipeline.work()
    assert pipeline.states(event)["tickets.apply"] == "done"


def test_a_letter_whose_handler_is_not_loaded_is_not_requeued(
    made: Make, pipeline: Letters
) -> None:
    """No worker of ours could run it; it can be discarded."""
    pipeline.bury(fact("e1"), handler="owners.count")
    without = made(handlers=[apply_ticket])
    assert without.decisions.requeue(ids(pipeline)) == Decided(unknown=1)
    assert len(pipeline.letters()) == 1
    assert without.decisions.discard(ids(pipeline), "gone for good") == Decided(done=1)
    assert pipeline.failed() == set()


@pytest.mark.parametrize("last", ["requeue", "close"])
def test_a_decision_that_ends_before_its_commit_has_changed_nothing(
    pipeline: Letters, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """Row and batch change together or not at all."""
    pipeline.bury(fact("e1"))
    before = pipeline.everything()
    write = getattr(Batches, last)

    def write_and_end(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Batches, last, write_and_end)
    decide, *reason = {
        "requeue": (pipeline.decisions.requeue,),
        "close": (pipeline.decisions.discard, "a test of ours"),
    }[last]
    with pytest.raises(KeyboardInterrupt):
        decide(ids(pipeline), *reason)
    assert pipeline.everything() == before
    assert len(pipeline.failed()) == 1


def test_a_worker_and_a_person_at_once_come_to_one_effect(
    pipeline: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ requeued the letter, and it is done while the person's transaction is under way."""
    event = fact("e1", add=1)
    pipeline.bury(event)
    broken.clear()
    batch = pipeline.store.records.batches.waiting([job_of(event)])[job_of(event)][0]
    look = deciding._dead  # noqa: SLF001 - the moment between reading and writing
    ran: list[Outcome] = []

    def look_and_be_overtaken(tx: Records, letters: Sequence[str]) -> list[LedgerRow]:
        found = look(tx, letters)
        if not ran:
            ran.append(pipeline.run(batch))
        return found

    monkeypatch.setattr(deciding, "_dead", look_and_be_overtaken)
    assert pipeline.decisions.requeue(ids(pipeline)) == Decided(left_alone=1)
    pipeline.drain()
    assert [outcome.done for outcome in ran] == [1]
    assert set(pipeline.states(event).values()) == {"done"}
    assert pipeline.document("tickets", "acme:T1")["points"] == 1


def test_a_discarded_letter_is_given_up_with_its_reason_and_its_cause(
    pipeline: Letters,
) -> None:
    """The ledger says so, the outbox is done with it, and RQ shows it no more."""
    event = fact("e1")
    pipeline.bury(event)
    now = pipeline.clock.now()
    assert pipeline.decisions.discard(ids(pipeline), "a test of ours") == Decided(done=1)
    row = pipeline.row(event, "tickets.apply")
    assert row.state == "cancelled"
    error = row.error or {}
    assert "sample_handlers" in error.pop("traceback")
    assert error == {
        "type": "Discarded",
        "message": "a test of ours",
        "stage": "person",
        "at": now.isoformat(),
        "cause": "RuntimeError: told to fail on e1",
    }
    assert "due_at" not in stored(pipeline, event)
    assert stored(pipeline, event)["done"] is True
    assert (pipeline.failed(), fetch(pipeline.redis, job_of(event))) == (set(), None)
    assert pipeline.store.records.ledger.in_trouble() == {}


def test_the_trace_of_a_discarded_event_tells_why(pipeline: Letters) -> None:
    """And who ran it last; what would have followed still waits, and never comes."""
    pipeline.bury(fact("e1"))
    pipeline.decisions.discard(ids(pipeline), "a test of ours")
    (found,) = trace(pipeline.store, pipeline.registry, "e1")
    (step,) = as_json(found)["steps"]
    assert (step["state"], step["error"]["message"]) == ("cancelled", "a test of ours")
    assert step["worker"] == "worker-1"
    assert {child["state"] for child in step["steps"]} == {"waiting"}


def test_nothing_runs_a_discarded_letter_again(pipeline: Letters) -> None:
    """Neither the sweeper, nor its job, should some queue still hold it."""
    event = fact("e1", add=1)
    pipeline.bury(event)
    batch = pipeline.store.records.batches.waiting([job_of(event)])[job_of(event)][0]
    pipeline.decisions.discard(ids(pipeline), "a test of ours")
    broken.clear()
    pipeline.redis.flushall()
    for _ in range(2):
        pipeline.sweep(after=HOUR)
        pipeline.work()
    assert not pipeline.run(batch).claimed
    assert pipeline.states(event) == {"tickets.apply": "cancelled"}
    assert pipeline.failed() == set()
    assert pipeline.decisions.requeue([f"{event.key}|tickets.apply"]) == Decided(left_alone=1)


@pytest.mark.parametrize("reason", ["", " ", "x" * 1001])
def test_a_discard_needs_a_reason(pipeline: Letters, reason: str) -> None:
    """One that fits into the ledger."""
    pipeline.bury(fact("e1"))
    with pytest.raises(ValueError, match="1 to 1,000 characters"):
        pipeline.decisions.discard(ids(pipeline), reason)
    with pytest.raises(ValueError, match="1 to 1,000 characters"):
        pipeline.decisions.discard_all(Where(), reason)
    assert len(pipeline.letters()) == 1


def test_a_discarded_event_stays_discarded_when_a_late_one_heals(pipeline: Letters) -> None:
    """Its handler would go through now; nobody but a person takes a discard back."""
    event = fact("e2", 2, owner="ann", status="open")
    pipeline.bury(event, handler="owners.count")
    pipeline.decisions.discard(ids(pipeline), "ann does not want it")
    broken.clear()
    pipeline.process(fact("e1", 1, status="late", add=5))
    assert pipeline.document("tickets", "acme:T1")["points"] == 5
    states = pipeline.states(event)
    assert (states["owners.count"], states["tenants.count"]) == ("cancelled", "done")
    # Nor does what follows the handler begin by itself.
    assert "statuses.count" not in states
    assert pipeline.row(event, "owners.count").discarded
    assert "acme:ann" not in pipeline.everything()["owner_totals"]


def test_a_dead_letter_that_a_late_event_heals_is_one_no_more(pipeline: Letters) -> None:
    """Its batch is closed and RQ shows it no more, without anybody's doing."""
    event = fact("e2", 2, owner="ann")
    pipeline.bury(event, handler="owners.count")
    broken.clear()
    pipeline.process(fact("e1", 1, status="late"))
    assert pipeline.states(event)["owners.count"] == "done"
    assert pipeline.letters() == []
    pipeline.settle()
    assert stored(pipeline, event, "owners.count")["done"] is True
    assert pipeline.failed() == set()
    assert pipeline.document("owner_totals", "acme:ann")["changes"] == 1


def test_a_dead_letter_that_fails_again_in_a_heal_stays_one(pipeline: Letters) -> None:
    """A heal gives it no attempts; were it shown as retrying, nobody would retry it."""
    event = fact("e2", 2, owner="ann", status="open")
    pipeline.bury(event, handler="owners.count")
    pipeline.process(fact("e1", 1, status="late"))
    (letter,) = pipeline.letters()
    assert (letter.attempts, letter.error["stage"]) == (2, "heal")
    assert "statuses.count" not in pipeline.states(event)
    broken.clear()
    pipeline.decisions.requeue([letter.id])
    pipeline.work()
    assert set(pipeline.states(event).values()) == {"done"}
    assert len(pipeline.states(event)) == 4


def test_an_event_that_waits_for_a_retry_and_fails_in_a_heal_goes_on_waiting(
    pipeline: Letters,
) -> None:
    """With the attempts it had; its own batch is due as before."""
    event = fact("e2", 2, owner="ann")
    broken.add(("owners.count", "e2"))
    pipeline.submit(event)
    pipeline.work()
    due = stored(pipeline, event, "owners.count")["due_at"]
    pipeline.process(fact("e1", 1, status="late"))
    row = pipeline.row(event, "owners.count")
    assert (row.state, row.attempt, (row.error or {})["stage"]) == ("retrying", 1, "heal")
    assert stored(pipeline, event, "owners.count")["due_at"] == due
    pipeline.settle()
    assert pipeline.row(event, "owners.count").state == "dead"


def test_all_that_match_are_requeued_in_bounded_transactions(made: Make) -> None:
    """Two thousand, in four of five hundred, each told of; then they are done."""
    pipeline = made(max_attempts=1)
    events = tickets(2000)
    pipeline.bury(*events, fact("other", entity_id="T1", tenant="beta"))
    broken.clear()
    told: list[int] = []
    done = pipeline.decisions.requeue_all(
        Where(tenant="acme"), on_progress=lambda decided: told.append(decided.done)
    )
    assert (done, told) == (Decided(done=2000), [500, 1000, 1500, 2000])
    assert pipeline.lanes.lengths() == {"actions": 2000, "observers": 0, "effects": 0, "repair": 0}
    assert len(pipeline.failed()) == 1
    pipeline.settle()
    assert pipeline.dead() == ["other"]
    assert pipeline.document("tenant_totals", "acme")["tickets"] == 2000
    assert pipeline.store.database["tickets"].count_documents({"points": 1}) == 2000


def test_all_that_match_are_discarded_in_bounded_transactions(
    made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no others."""
    monkeypatch.setattr(deciding, "CHUNK", 2)
    pipeline = made(max_attempts=1)
    pipeline.bury(*tickets(5), fact("p1", type="page.viewed"))
    pipeline.bury(fact("b", entity_id="B"), handler="owners.count")
    told: list[int] = []
    done = pipeline.decisions.discard_all(
        Where(handler="tickets.apply"),
        "not needed",
        on_progress=lambda decided: told.append(decided.done),
    )
    assert (done.done, told) == (5, [2, 4, 5])
    assert sorted(pipeline.dead()) == ["b", "p1"]


def test_a_limit_takes_those_that_died_first(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a person can try with a few."""
    monkeypatch.setattr(deciding, "CHUNK", 2)
    pipeline = made(max_attempts=1)
    for event in tickets(5):
        pipeline.bury(event)
        pipeline.clock.advance(HOUR)
    assert pipeline.decisions.requeue_all(Where(), limit=3) == Decided(done=3)
    assert pipeline.dead() == ["e3", "e4"]


def test_letters_that_die_again_meanwhile_are_not_taken_again(
    made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work has an end, however fast the workers bury what is put back."""
    monkeypatch.setattr(deciding, "CHUNK", 2)
    pipeline = made(max_attempts=1)
    pipeline.bury(*tickets(4))
    pipeline.clock.advance(HOUR)

    def bury_again(_: Decided) -> None:
        pipeline.clock.advance(HOUR)
        pipeline.work()

    done = pipeline.decisions.requeue_all(Where(), on_progress=bury_again)
    assert done == Decided(done=4)
    assert sorted(pipeline.dead()) == ["e0", "e1", "e2", "e3"]
