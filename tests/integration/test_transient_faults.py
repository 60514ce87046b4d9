"""Faults of the network and of elections: tried again in place, and nobody's attempt."""

from collections.abc import Callable
from typing import Any

import pytest
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
)

from pipeline.store import Outdated, Records, Store
from pipeline.store.events import Events
from tests.facts import fact
from tests.integration.harness import APART, Harness


def conflict() -> PyMongoError:
    """What MongoDB answers to the second of two transactions that write one document."""
    return OperationFailure("conflict", 112, {"errorLabels": ["TransientTransactionError"]})


def failing_first(original: Callable[..., Any], *faults: Exception) -> Callable[..., Any]:
    """The original, which raises each of the faults before it works."""
    left = list(faults)

    def work(*args: Any, **kw: Any) -> Any:
        if left:
            raise left.pop(0)
        return original(*args, **kw)

    return work


@pytest.mark.parametrize(
    "fault", [AutoReconnect("cut off"), NotPrimaryError("stepped down"), conflict()], ids=repr
)
def test_a_transaction_is_tried_again_and_no_attempt_is_counted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, fault: PyMongoError
) -> None:
    """Three times in a row, at the submission and at the run."""
    event = fact("e1", add=1)
    monkeypatch.setattr(Store, "_once", failing_first(Store._once, fault, fault, fault))  # noqa: SLF001
    harness.submit(event)
    monkeypatch.setattr(Store, "_once", failing_first(Store._once, fault, fault, fault))  # noqa: SLF001
    harness.drain()
    assert harness.row(event, "tickets.apply").attempt == 1
    assert set(harness.states(event).values()) == {"done"}
    assert harness.document("tickets", "acme:T1")["points"] == 1


@APART
def test_reading_before_the_transaction_is_tried_again_too(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a cut connection would be taken for the event's fault."""
    event = fact("e1", add=1)
    harness.submit(event)
    fault = AutoReconnect("cut off")
    monkeypatch.setattr(Events, "load", failing_first(Events.load, fault, fault))
    outcome = harness.run(harness.waiting.popleft())
    assert (outcome.done, outcome.failures) == (1, [])


@APART
@pytest.mark.parametrize(
    "look_again", [Outdated("somebody was first"), DuplicateKeyError("taken", 11000)], ids=repr
)
def test_after_many_conflicts_a_lost_race_is_still_no_events_fault(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, look_again: Exception
) -> None:
    """Conflicts at a hot document do not use up the tries that a race may take."""
    event = fact("e1", add=1)
    harness.submit(event)
    faults = [*(conflict() for _ in range(20)), look_again]
    monkeypatch.setattr(Store, "_once", failing_first(Store._once, *faults))  # noqa: SLF001
    outcome = harness.run(harness.waiting.popleft())
    assert (outcome.done, outcome.failures) == (1, [])


def test_a_key_that_stays_taken_is_told(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A race is over by the next try; trying for half a minute would only hide a fault."""
    taken = [DuplicateKeyError("taken", 11000) for _ in range(100)]
    monkeypatch.setattr(Store, "_once", failing_first(Store._once, *taken))  # noqa: SLF001
    with pytest.raises(DuplicateKeyError):
        harness.store.transact(lambda _: None)


def test_a_transaction_whose_commit_got_no_answer_has_one_effect(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was committed, the answer was lost, and the work is run again: it finds itself done."""
    event = fact("e1", add=1)
    harness.submit(event)
    once = Store._once  # noqa: SLF001
    lost = [True]

    def committed_and_lost(self: Store, work: Callable[[Records], Any]) -> Any:
        result = once(self, work)
        if lost.pop() if lost else False:
            raise AutoReconnect("the answer was lost")
        return result

    monkeypatch.setattr(Store, "_once", committed_and_lost)
    outcome = harness.run(harness.waiting.popleft())
    assert not outcome.claimed
    assert harness.document("tickets", "acme:T1")["points"] == 1
    harness.retry()
    assert set(harness.states(event).values()) == {"done"}
