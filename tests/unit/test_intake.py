"""The gate: open while there is room, and it says when to come again."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.clock import ManualClock
from pipeline.errors import Overloaded
from pipeline.intake import LOOK_SECONDS, Gate


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock(datetime(2024, 1, 1, tzinfo=UTC))


def test_the_gate_is_open_up_to_the_most_and_closed_beyond(clock: ManualClock) -> None:
    """The message says what is wrong and what to do; the error when to come again."""
    pending = 10
    gate = Gate(lambda _limit: pending, clock, most=10)
    with gate.admitted():
        pass
    pending = 11
    clock.advance(timedelta(seconds=LOOK_SECONDS))
    with pytest.raises(Overloaded, match="more than 10 batches wait") as told, gate.admitted():
        raise AssertionError("admitted")
    assert told.value.retry_after > 0


def test_the_gate_opens_again_when_there_is_room(clock: ManualClock) -> None:
    """At the next look; nobody has to restart anything."""
    pending = 11
    gate = Gate(lambda _limit: pending, clock, most=10)
    with pytest.raises(Overloaded), gate.admitted():
        pass
    pending = 0
    clock.advance(timedelta(seconds=LOOK_SECONDS))
    with gate.admitted():
        pass


def test_one_look_serves_for_a_while_and_counts_no_further_than_needed(clock: ManualClock) -> None:
    """A million pending batches are not counted for every submission."""
    limits: list[int] = []

    def count(limit: int) -> int:
        limits.append(limit)
        return 0

    gate = Gate(count, clock, most=10)
    for _ in range(100):
        with gate.admitted():
            pass
    assert limits == [11]


def test_submissions_beyond_those_at_once_wait_and_are_turned_away(clock: ManualClock) -> None:
    """While MongoDB is slow the waiting is bounded, and so is the memory of those who write."""
    gate = Gate(lambda _limit: 0, clock, most=10, at_once=2, patience=0.05)
    inside, leave = threading.Barrier(3), threading.Event()

    def submit() -> None:
        with gate.admitted():
            inside.wait()
            leave.wait()

    writers = [threading.Thread(target=submit) for _ in range(2)]
    for writer in writers:
        writer.start()
    inside.wait()
    with pytest.raises(Overloaded, match="MongoDB is slow"), gate.admitted():
        raise AssertionError("admitted")
    leave.set()
    for writer in writers:
        writer.join()
    with gate.admitted():
        pass


def test_a_fault_inside_gives_the_turn_back(clock: ManualClock) -> None:
    """Otherwise faults would close the gate for good."""
    gate = Gate(lambda _limit: 0, clock, most=10, at_once=1, patience=0.05)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate.admitted():
            raise ZeroDivisionError
