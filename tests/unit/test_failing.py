"""Failures that are declared: as many as were asked for, of the same events every time."""

import os
from pathlib import Path

import pytest

from benchmarks import failing_handlers
from benchmarks.failing import (
    FAILING,
    GAP_SECONDS,
    DeclaredFailureError,
    Failing,
    declared,
    declaring,
)
from benchmarks.workload import SYNTHETIC, Workload, in_order
from handlers import appointments
from pipeline import Retry
from pipeline.registry import load
from pipeline.replay import compare, replay
from tests.facts import fact

KEYS = [f"e{number}@acme/desk" for number in range(50_000)]


def fails(failing: Failing, event_id: str, now: float) -> bool:
    """Whether a call at this time fails."""
    try:
        failing.attempt(fact(event_id), now)
    except (Retry, DeclaredFailureError):
        return True
    return False


def failed_attempts(failing: Failing, event_id: str, calls: int = 3) -> int:
    """How many of 20 attempts at an event fail, each of some calls; all that do come first."""
    outcomes = []
    for number in range(20):
        attempt = {
            fails(failing, event_id, number * (GAP_SECONDS + 0.1) + 0.001 * call)
            for call in range(calls)
        }
        assert len(attempt) == 1
        outcomes += attempt
    assert outcomes == sorted(outcomes, reverse=True)
    return sum(outcomes)


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.7])
def test_an_attempt_fails_with_the_rate_whatever_became_of_those_before(rate: float) -> None:
    """Of those that failed j times the same share fails once more, up to the last attempt."""
    failing = Failing(rate=rate, attempts=4)
    counts = [failing.failures(key) for key in KEYS]
    left = len(KEYS)
    for failed in range(1, 5):
        more = sum(count >= failed for count in counts)
        spread = 4 * (rate * (1 - rate) / left) ** 0.5
        assert more / left == pytest.approx(rate, abs=spread)
        left = more
        if left < 50:
            break


def test_some_events_never_succeed_whatever_the_rate() -> None:
    """Their share is as declared, and they are the same at every rate."""
    doomed = [
        {key for key in KEYS if Failing(rate=rate, permanent=0.01).gives_up(key)}
        for rate in (0.0, 0.05)
    ]
    assert doomed[0] <= doomed[1]
    assert 400 < len(doomed[0]) < 600
    assert len(doomed[1] - doomed[0]) < 5


def test_another_seed_lets_others_fail() -> None:
    """And the same seed the same."""
    one, same, other = (
        [Failing(rate=0.5, seed=seed).failures(key) for key in KEYS[:100]] for seed in (1, 1, 2)
    )
    assert one == same != other


def test_so_many_attempts_fail_and_all_after_them_succeed(tmp_path: Path) -> None:
    """And where nothing is noted only what never succeeds does."""
    failing = Failing(rate=0.5, permanent=0.1, attempts=3)
    noting = failing.model_copy(update={"folder": tmp_path})
    seen = set()
    for number in range(60):
        declared_failures = failing.failures(fact(f"e{number}").key)
        seen.add(declared_failures)
        doomed = declared_failures == 3
        assert failed_attempts(noting, f"e{number}") == (20 if doomed else declared_failures)
        assert failed_attempts(failing, f"e{number}") == (20 if doomed else 0)
    assert seen == {0, 1, 2, 3}


def test_the_next_attempt_is_asked_for_late_enough_to_be_told_from_this_one(
    tmp_path: Path,
) -> None:
    """Or an event might be given up that was to succeed in the end."""
    failing = Failing(rate=0.9, attempts=50, folder=tmp_path)
    found = [number for number in range(99) if 0 < failing.failures(fact(f"e{number}").key) < 50]
    for number in found:
        with pytest.raises(Retry) as raised:
            failing.attempt(fact(f"e{number}"), 1.0)
        assert raised.value.after.total_seconds() >= GAP_SECONDS
    assert len(found) > 50


def test_it_fails_as_long_as_it_is_declared_and_leaves_nothing_behind() -> None:
    """Neither in the environment, which workers are started with, nor on disk."""
    with declaring(Failing(rate=0.5, attempts=7)) as settings:
        inside = declared()
        assert inside is not None
        assert inside.folder is not None
        assert inside.folder.is_dir()
        assert settings == {"handlers": [failing_handlers.__name__], "max_attempts": 7}
    assert not inside.folder.exists()
    assert FAILING not in os.environ
    assert declared() is None
    with declaring(None) as settings:
        assert (settings, declared()) == ({}, None)


def test_the_handlers_do_what_those_of_appointments_do() -> None:
    """But for events that never succeed: these are as good as not there."""
    events = list(in_order(Workload(source=SYNTHETIC, events=600)))
    plain, same = load([appointments.__name__]), load([failing_handlers.__name__])
    assert [handler.name for handler in same] == [handler.name for handler in plain]
    expected = replay(plain, events)

    def tables_of(found: object) -> dict[str, list[object]]:
        return {name: [doc for _, doc in found[name].entries()] for name in plain.tables()}  # type: ignore[index]

    assert compare(expected, tables_of(replay(same, events))).equal
    failing = Failing(rate=0.0, permanent=0.2)
    with declaring(failing):
        found = replay(same, events)
    doomed = {event.key for event in events if failing.gives_up(event.key)}
    assert {failure.event for failure in found.failures} == doomed
    assert len(doomed) > 50
    left = replay(plain, [event for event in events if event.key not in doomed])
    assert compare(left, tables_of(found)).equal
