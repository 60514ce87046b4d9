"""A small fold takes its observers along: one transaction, and yet a batch and a job of their own.

Whatever is out of the ordinary ends it: then they are run after the fold, as if it had never been.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from pipeline.declarations import Lane
from pipeline.event import Event
from pipeline.executor import Outcome, Step
from pipeline.executor.steps import Hooks
from pipeline.store import Batch, Records, Store
from pipeline.store.tables import MongoTable
from tests.facts import Document, fact
from tests.integration import sample_handlers
from tests.integration.harness import Harness
from tests.integration.sample_handlers import broken
from workers import worker
from workers.bootstrap import Application

FOLD, OWNERS, TENANTS, STATUSES = "tickets.apply", "owners.count", "tenants.count", "statuses.count"
SIBLINGS = f"{OWNERS}+{TENANTS}"
STORY = (
    fact("e1", 1, status="open", owner="ann", points=3),
    fact("e2", 2, entity_id="T2", add=2),
    fact("e3", 3, status="done", owner="bob"),
)


@pytest.fixture
def ticket_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MongoDB refuse the document of the story's second event."""
    original = MongoTable.replace

    def refusing(self: MongoTable, documents: Any, *rest: Any) -> Any:
        if "acme:T2" in str(documents):
            raise OperationFailure("too large", 17419)
        return original(self, documents, *rest)

    monkeypatch.setattr(MongoTable, "replace", refusing)


def run_first(harness: Harness, *events: Event) -> Outcome:
    """Submit the events and run the fold on them."""
    harness.submit(*events)
    return harness.run(harness.waiting.popleft())


def names(batches: Sequence[Batch]) -> list[str]:
    """What batches are for."""
    return [batch.handler for batch in batches]


def test_the_fold_and_its_observers_are_done_in_one_transaction(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is below the observers follows."""
    harness.submit(*STORY)
    transactions = []
    transact = Store.transact

    def counted(self: Store, work: Callable[[Records], Any]) -> Any:
        transactions.append(work)
        return transact(self, work)

    monkeypatch.setattr(Store, "transact", counted)
    outcome = harness.run(harness.waiting.popleft())
    assert len(transactions) == 1
    assert (outcome.done, names(outcome.following)) == (9, [STATUSES])
    assert harness.document("tenant_totals", "acme")["tickets"] == 2
    assert set(harness.states(STORY[0])) == {FOLD, OWNERS, TENANTS}


def test_the_observers_have_a_batch_of_their_own_which_their_rows_name(harness: Harness) -> None:
    """It is done, by the worker that did the fold, at the same moments."""
    outcome = run_first(harness, *STORY)
    (along,) = outcome.along
    assert (along.handler, along.lane) == (SIBLINGS, "observers")
    fold = harness.row(STORY[0], FOLD).job
    assert {harness.row(event, name).job for event in STORY for name in (OWNERS, TENANTS)} == {
        along.id
    }
    runs = harness.store.records.batches.runs([fold, along.id])
    assert runs[along.id] == runs[fold]
    assert harness.store.records.batches.pending([along.id]) == {}


def filled(harness: Harness) -> dict[str, dict[str, Document]]:
    """Every collection that holds something."""
    return {name: documents for name, documents in harness.everything().items() if documents}


def test_all_that_is_written_is_the_same_as_of_observers_that_follow(harness: Harness) -> None:
    """Every field of every collection, with a clock that stands still."""
    harness.process(*STORY)
    harness.process(fact("e4", 4, owner="cid"), fact("e5", 5, entity_id="T3", status="open"))
    together = filled(harness)
    client, name = harness.store.database.client, harness.store.database.name
    apart = Harness(client, f"{name}_apart", take_along=0)
    try:
        apart.process(*STORY)
        apart.process(fact("e4", 4, owner="cid"), fact("e5", 5, entity_id="T3", status="open"))
        assert filled(apart) == together
    finally:
        client.drop_database(f"{name}_apart")


def test_a_fold_of_more_events_leaves_its_observers_to_follow(harness: Harness) -> None:
    """A conflict at a total would undo all of them."""
    at_most = harness.settings.take_along
    few = [fact(f"f{n}", n, entity_id=f"F{n}") for n in range(at_most)]
    many = [fact(f"m{n}", n, entity_id=f"M{n}") for n in range(at_most + 1)]
    assert names(run_first(harness, *few).along) == [SIBLINGS]
    harness.waiting.clear()
    outcome = run_first(harness, *many)
    assert (outcome.along, names(outcome.following)) == ([], [SIBLINGS])


def test_batches_that_are_run_together_count_together(harness: Harness) -> None:
    """Two of half the size and one more are too many."""
    half = harness.settings.take_along // 2
    batches = []
    for start in (0, 100):
        harness.submit(*(fact(f"e{start + n}", n, entity_id=f"{start + n}") for n in range(half)))
        batches.append(harness.waiting.popleft())
    harness.submit(fact("one more", 1, entity_id="T9"))
    one_more = harness.waiting.popleft()
    assert harness.executor.run([*batches, one_more]).along == []


def test_a_late_event_ends_it(harness: Harness) -> None:
    """Its fold corrects what the observers of later events have counted."""
    harness.process(STORY[2])
    outcome = run_first(harness, STORY[0], fact("e9", 9, entity_id="T9"))
    assert (outcome.along, names(outcome.following)) == ([], [SIBLINGS])
    harness.drain()
    assert harness.document("owner_totals", "acme:ann")["changes"] == 1


def test_an_observer_that_fails_takes_no_fold_with_it(harness: Harness) -> None:
    """The fold is done, its neighbours too, and the failed event alone is tried again."""
    broken.add((OWNERS, "e2"))
    outcome = run_first(harness, *STORY)
    assert (outcome.along, outcome.failures) == ([], [])
    assert (outcome.done, names(outcome.following)) == (3, [SIBLINGS])
    harness.drain()
    assert harness.states(STORY[1])[OWNERS] == "retrying"
    assert harness.states(STORY[1])[FOLD] == harness.states(STORY[0])[OWNERS] == "done"


def test_what_mongodb_refuses_of_observers_is_no_fault_of_the_fold(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fold is committed at the next try, unsplit."""
    apply, refused = MongoTable.apply, []

    def refusing(self: MongoTable, updates: Any) -> Any:
        refused.append(updates)
        raise OperationFailure("Cannot apply $inc to a value of non-numeric type", 14)

    monkeypatch.setattr(MongoTable, "apply", refusing)
    outcome = run_first(harness, *STORY)
    monkeypatch.setattr(MongoTable, "apply", apply)
    assert len(refused) == 1
    assert (outcome.done, outcome.failures, names(outcome.following)) == (3, [], [SIBLINGS])
    harness.drain()
    assert set(harness.states(STORY[0]).values()) == {"done"}
    assert harness.row(STORY[0], OWNERS).attempt == 1


@pytest.mark.usefixtures("ticket_refused")
def test_what_mongodb_refuses_of_the_fold_is_split_off_as_ever(harness: Harness) -> None:
    """Also where observers were to be taken along at first."""
    harness.submit(*STORY)
    harness.drain()
    assert harness.states(STORY[1]) == {FOLD: "retrying"}
    assert harness.states(STORY[0])[OWNERS] == harness.states(STORY[2])[OWNERS] == "done"


def test_what_mongodb_refuses_of_a_fold_alone_is_tried_once(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody was taken along, so another try would end alike."""
    tries: list[str] = []

    def refusing(_self: MongoTable, _documents: Any, *_rest: Any) -> Any:
        tries.append("refused")
        raise OperationFailure("too large", 17419)

    many = [fact(f"m{n}", n) for n in range(harness.settings.take_along + 1)]
    harness.submit(*many)
    monkeypatch.setattr(MongoTable, "replace", refusing)
    outcome = harness.run(harness.waiting.popleft())
    assert tries == ["refused"]
    assert names(outcome.following) == [FOLD, FOLD]


@pytest.mark.usefixtures("ticket_refused")
def test_of_batches_run_one_by_one_each_takes_its_own_along(harness: Harness) -> None:
    """Two were run together; MongoDB refused one of them, so each is run again alone."""
    for event in STORY:
        harness.submit(event)
    outcome = harness.executor.run(list(harness.waiting))
    assert [batch.events for batch in outcome.along] == [(STORY[0].key,), (STORY[2].key,)]


@pytest.mark.parametrize(
    ("lanes", "along"),
    [(list(Lane), [SIBLINGS]), ([Lane.ACTIONS], [])],
    ids=["of all lanes", "of actions"],
)
def test_a_worker_that_takes_no_observers_takes_none_along(
    application_of: Callable[..., Application],
    monkeypatch: pytest.MonkeyPatch,
    lanes: Sequence[Lane],
    along: Sequence[str],
) -> None:
    """Whoever gives observers workers of their own wants them to be run there."""
    app = application_of(sample_handlers)
    app.dispatcher.submit(STORY)
    (batch,) = app.store.records.batches.due(app.clock.now() + timedelta(hours=1), 10)
    outcomes: list[Outcome] = []
    monkeypatch.setattr(
        worker, "_work", lambda _app, _name, _lanes, by: outcomes.append(by.run([batch]))
    )
    worker.run(app, "w", lanes)
    assert names(outcomes[0].along) == along


def test_a_conflict_leaves_the_observers_to_follow(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write what they write; the next try of the fold meets them no more."""
    apply, seized = MongoTable.apply, []

    def conflicting(self: MongoTable, updates: Any) -> Any:
        monkeypatch.setattr(MongoTable, "apply", apply)
        labels = {"errorLabels": ["TransientTransactionError"]}
        raise OperationFailure("WriteConflict", 112, labels)

    def seize(self: MongoTable, keys: Any, _now: Any) -> None:
        seized.extend(keys)

    monkeypatch.setattr(MongoTable, "apply", conflicting)
    monkeypatch.setattr(MongoTable, "seize", seize)
    outcome = run_first(harness, *STORY)
    assert (outcome.done, outcome.along, names(outcome.following)) == (3, [], [SIBLINGS])
    assert seized == []
    harness.drain()
    assert harness.document("tenant_totals", "acme")["tickets"] == 2


@pytest.mark.parametrize("before", [{"attempt": 1}, {"deaths": 1}], ids=str)
def test_a_batch_that_failed_or_killed_its_worker_is_run_alone(
    harness: Harness, before: dict[str, int]
) -> None:
    """So that what befalls the next try is the fold's."""
    harness.submit(*STORY)
    batch = replace(harness.waiting.popleft(), **before)
    outcome = harness.executor.run([batch])
    assert (outcome.along, names(outcome.following)) == ([], [SIBLINGS])


def test_what_is_repeated_has_no_further_effect(harness: Harness) -> None:
    """The batch of the fold, and that of the observers, whoever enqueued them again."""
    harness.submit(*STORY)
    (fold,) = harness.waiting
    (along,) = harness.run(harness.waiting.popleft()).along
    harness.drain()
    before = harness.everything()
    assert [harness.run(batch).claimed for batch in (fold, along)] == [False, False]
    assert harness.everything() == before


def test_observers_that_another_worker_runs_meanwhile_have_one_effect(harness: Harness) -> None:
    """A batch of theirs that was pending, from a time when they were not taken along."""
    harness.submit(*STORY)
    batch = harness.waiting.popleft()
    other = harness.executor_of("worker-2")
    done: list[Outcome] = []

    def overtake(step: Step) -> None:
        if step is Step.PLANNED and not done:
            done.append(Outcome())
            done[:] = [other.run([batch])]

    slow = harness.executor_of("worker-1")
    slow._hooks = Hooks(overtake)  # noqa: SLF001 - the step at which the other comes in between
    slow._pass = overtake  # noqa: SLF001
    outcome = slow.run([batch])
    assert (outcome.claimed, outcome.along, names(done[0].along)) == (False, [], [SIBLINGS])
    harness.waiting.extend(done[0].following)
    harness.drain()
    assert harness.document("tenant_totals", "acme")["tickets"] == 2
