"""Decisions about many dead letters: planned, confirmed, run at a rate, stopped, and noted."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline.auditing import Auditor, Person
from pipeline.dead_letters import Where
from pipeline.errors import NotFound, PipelineError
from pipeline.operations import Planner, Runner, cut_off, running
from pipeline.store import Operation, Phase
from tests.facts import Document, fact
from tests.integration.letters import Letters, tickets
from tests.integration.sample_handlers import broken

ANN = Person("ann", "operator")


class Operated(Letters):
    """Letters, with a planner and a runner whose pauses pass on the clock."""

    pauses: list[float]
    between: Callable[[], object]

    def ready(self) -> "Operated":
        """Make planner and runner."""
        self.pauses, self.between = [], lambda: None
        self.planner = Planner(self.store, self.registry, self.clock)
        self.runner = Runner(self.store, self.decisions, self.clock, self.pause)
        return self

    def pause(self, seconds: float) -> bool:
        """Let time pass at once, and do what a test wants between two steps."""
        self.pauses.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))
        return bool(self.between())

    def stored(self, operation: Operation) -> Operation:
        """The operation as everybody sees it."""
        found = self.store.records.operations.get(operation.id)
        assert found is not None
        return found


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Operated:
    """Bury seven events of acme and one of beta."""
    broken.clear()
    pipeline = Operated(mongo, database.name, redis_server, max_attempts=1).ready()
    pipeline.bury(*tickets(7), fact("other", entity_id="X", tenant="beta"))
    broken.clear()
    return pipeline


def test_a_plan_counts_and_shows_and_changes_nothing(pipeline: Operated) -> None:
    """Seven letters, five of them shown, at two a second for three and a half seconds."""
    plan = pipeline.planner.plan("requeue", Where(tenant="acme"), by="ann", rate=2)
    assert (plan.operation.meant, len(plan.samples), plan.seconds) == (7, 5, 3.5)
    assert plan.untouched == {}
    assert len(pipeline.dead()) == 8
    assert pipeline.stored(plan.operation).phase is Phase.PLANNED


def test_a_run_keeps_to_its_rate_and_tells_how_far_it_is(pipeline: Operated) -> None:
    """Two letters a second: four steps, with a second after each full one."""
    plan = pipeline.planner.plan("requeue", Where(tenant="acme"), by="ann", rate=2)
    started = pipeline.runner.start(plan.operation.id, by="ann")
    far: list[int] = []
    pipeline.between = lambda: far.append(pipeline.stored(started).tally["done"])
    assert pipeline.runner.run(started) is Phase.DONE
    assert far == [2, 4, 6, 7]
    assert pipeline.pauses == [1.0, 1.0, 1.0, 0.5]
    assert pipeline.dead() == ["other"]
    assert pipeline.stored(started).phase is Phase.DONE


def test_a_plan_says_what_was_counted_when_it_was_made(pipeline: Operated) -> None:
    """Whatever has become of the letters since, and without counting them again."""
    plan = pipeline.planner.plan("requeue", Where(), by="ann", rate=1000)
    assert (sum(found.events for found in plan.tallies), plan.cut) == (8, False)
    started = pipeline.runner.start(
        pipeline.planner.plan("discard", Where(tenant="beta"), by="ann", reason="x").operation.id,
        by="ann",
    )
    assert pipeline.runner.run(started) is Phase.DONE
    again = pipeline.planner.of(pipeline.stored(plan.operation))
    assert (again.tallies, again.operation.meant) == (plan.tallies, 8)


def test_of_very_many_kinds_of_letters_a_plan_tells_the_largest(
    pipeline: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan is one document; all letters are in its number."""
    monkeypatch.setattr("pipeline.operations.planning.MOST_KINDS", 1)
    pipeline.bury(fact("p1", tenant="beta", type="page.viewed"), handler="pages.count")
    plan = pipeline.planner.plan("requeue", Where(), by="ann", rate=1000)
    assert [(found.handler, found.events) for found in plan.tallies] == [("tickets.apply", 8)]
    assert plan.cut
    assert plan.operation.meant == 9


def test_a_discard_needs_a_reason_and_keeps_it(pipeline: Operated) -> None:
    """In the ledger of each event."""
    with pytest.raises(PipelineError, match="needs a reason"):
        pipeline.planner.plan("discard", Where(), by="ann")
    plan = pipeline.planner.plan("discard", Where(tenant="beta"), by="ann", reason="a test")
    started = pipeline.runner.start(plan.operation.id, by="ann")
    assert pipeline.runner.run(started) is Phase.DONE
    row = pipeline.row(fact("other", tenant="beta"), "tickets.apply")
    assert (row.state, (row.error or {})["message"]) == ("cancelled", "a test")


def test_a_cancel_ends_it_after_the_step_it_is_at(pipeline: Operated) -> None:
    """What is done stays done, and the rest is dead as before."""
    plan = pipeline.planner.plan("requeue", Where(tenant="acme"), by="ann", rate=2)
    started = pipeline.runner.start(plan.operation.id, by="ann")
    cancel = pipeline.store.records.operations.cancel
    pipeline.between = lambda: cancel(started.id, pipeline.clock.now()) and False
    assert pipeline.runner.run(started) is Phase.CANCELLED
    # Told of after the first step, it is seen at the end of the second.
    assert len(pipeline.dead(Where(tenant="acme"))) == 3
    assert pipeline.stored(started).phase is Phase.CANCELLED
    assert not cancel(started.id, pipeline.clock.now())


def test_letters_that_died_after_the_plan_are_not_taken(pipeline: Operated) -> None:
    """However late it is started."""
    plan = pipeline.planner.plan("requeue", Where(), by="ann", rate=1000)
    pipeline.clock.advance(timedelta(minutes=5))
    pipeline.bury(fact("new", entity_id="N"))
    assert pipeline.runner.run(pipeline.runner.start(plan.operation.id, by="ann")) is Phase.DONE
    assert pipeline.dead() == ["new"]


def test_more_than_a_hundred_are_confirmed_by_their_number(
    pipeline: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And by no other."""
    monkeypatch.setattr(running, "CONFIRMED_FROM", 7)
    operation = pipeline.planner.plan("requeue", Where(), by="ann").operation.id
    for confirm in ("", "7", "all"):
        with pytest.raises(PipelineError, match="type 8"):
            pipeline.runner.start(operation, by="ann", confirm=confirm)
    assert pipeline.runner.start(operation, by="ann", confirm=" 8 ").phase is Phase.RUNNING


def test_it_is_started_once(pipeline: Operated) -> None:
    """A form that is sent twice starts nothing twice; an operation that is none, nothing."""
    operation = pipeline.planner.plan("requeue", Where(), by="ann").operation.id
    pipeline.runner.start(operation, by="ann")
    with pytest.raises(PipelineError, match="runs or has ended"):
        pipeline.runner.start(operation, by="ben")
    with pytest.raises(NotFound):
        pipeline.runner.start("none", by="ann")


def test_one_whose_process_is_gone_goes_on_where_it_was(pipeline: Operated) -> None:
    """The first process, should it come back, stops; nothing is counted twice."""
    plan = pipeline.planner.plan("requeue", Where(tenant="acme"), by="ann", rate=2)
    first = pipeline.runner.start(plan.operation.id, by="ann")
    second: list[Operation] = []

    def lose() -> bool:
        pipeline.clock.advance(timedelta(minutes=5))
        assert cut_off(pipeline.stored(first), pipeline.clock.now())
        second.append(pipeline.runner.start(first.id, by="ben"))
        return False

    pipeline.between = lose
    assert pipeline.runner.run(first) is Phase.CANCELLED
    pipeline.between = lambda: None
    assert pipeline.runner.run(second[0]) is Phase.DONE
    ended = pipeline.stored(first)
    # The step at which the first was cut off is done, and was told of by nobody.
    assert ended.tally["done"] == 5
    assert pipeline.dead() == ["other"]


def test_a_process_that_ends_leaves_it_to_be_started_again(pipeline: Operated) -> None:
    """As failed, with the reason."""
    plan = pipeline.planner.plan("requeue", Where(tenant="acme"), by="ann", rate=2)
    started = pipeline.runner.start(plan.operation.id, by="ann")
    pipeline.between = lambda: True
    assert pipeline.runner.run(started) is Phase.FAILED
    stored = pipeline.stored(started)
    assert (stored.phase, stored.error) == (Phase.FAILED, "the process that ran it was ended")
    pipeline.between = lambda: None
    assert pipeline.runner.run(pipeline.runner.start(started.id, by="ann")) is Phase.DONE
    assert pipeline.stored(started).tally["done"] == 7


def test_a_limit_takes_so_many_and_no_more(pipeline: Operated) -> None:
    """Those that died first."""
    plan = pipeline.planner.plan("requeue", Where(tenant="acme"), by="ann", rate=2, limit=3)
    assert plan.operation.meant == 3
    assert pipeline.runner.run(pipeline.runner.start(plan.operation.id, by="ann")) is Phase.DONE
    assert len(pipeline.dead(Where(tenant="acme"))) == 4


def test_a_plan_nobody_starts_is_forgotten_after_a_day(pipeline: Operated) -> None:
    """When the next one is made."""
    old = pipeline.planner.plan("requeue", Where(), by="ann").operation
    pipeline.clock.advance(timedelta(days=2))
    new = pipeline.planner.plan("requeue", Where(), by="ann").operation
    kept = pipeline.store.records.operations.newest(limit=10)
    assert [operation.id for operation in kept] == [new.id]
    assert pipeline.store.records.operations.get(old.id) is None


def test_what_a_person_does_is_noted_before_it_is_done(pipeline: Operated) -> None:
    """With its outcome once that is known, also where that is a failure."""
    auditor, audit = Auditor(pipeline.store, pipeline.clock), pipeline.store.records.audit
    with auditor.noting(ANN, "requeue", {"letter": "e1"}, event="e1@acme/desk") as outcome:
        (note,) = audit.newest(limit=10)
        assert (note.actor, note.role, note.outcome) == ("ann", "operator", None)
        outcome.tell("1 requeued")
    pipeline.clock.advance(timedelta(seconds=1))
    with pytest.raises(ZeroDivisionError), auditor.noting(ANN, "discard", {}):
        raise ZeroDivisionError("by zero")
    newest, oldest = audit.newest(limit=10)
    assert newest.outcome == "failed: ZeroDivisionError: by zero"
    assert oldest.outcome == "1 requeued"
    assert audit.newest(limit=10, event="e1@acme/desk") == [oldest]
    assert audit.newest(limit=10, action="discard") == [newest]
    assert audit.newest(limit=10, before=newest.id) == [oldest]


def test_an_outcome_stays_what_it_was_first(pipeline: Operated) -> None:
    """Nobody rewrites what was noted."""
    auditor, audit = Auditor(pipeline.store, pipeline.clock), pipeline.store.records.audit
    with auditor.noting(ANN, "requeue", {}):
        pass
    (note,) = audit.newest(limit=1)
    assert not audit.close(note.id, "another")
    assert audit.newest(limit=1) == [note]
