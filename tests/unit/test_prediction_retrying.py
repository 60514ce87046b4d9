"""What failures cost, by brute force."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.prediction.retrying import (
    attempts_an_event,
    dead_share,
    delayed,
    inflation,
    tails_of_work,
)
from pipeline.backoff import Backoff

pytestmark = pytest.mark.uncounted


def outcomes(failure_rate: float, attempts: int) -> list[tuple[float, int, bool]]:
    """Every course of all attempts, made or not: its probability, attempts made, whether dead."""
    found = []
    for course in itertools.product((True, False), repeat=attempts):
        chance = math.prod(failure_rate if failed else 1 - failure_rate for failed in course)
        made = course.index(False) + 1 if False in course else attempts
        found.append((chance, made, all(course)))
    return found


@pytest.mark.parametrize("failure_rate", [0.0, 0.01, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("attempts", [1, 2, 5, 8])
def test_attempts_and_dead_letters_are_those_of_all_courses(
    failure_rate: float, attempts: int
) -> None:
    """Each course of failures and successes, weighed by its probability."""
    courses = outcomes(failure_rate, attempts)
    work = sum(chance * made for chance, made, _ in courses)
    dead = sum(chance for chance, _, is_dead in courses if is_dead)
    assert inflation(failure_rate, attempts) == pytest.approx(work)
    assert dead_share(failure_rate, attempts) == pytest.approx(dead)


@given(st.floats(0, 0.999), st.integers(1, 50))
def test_it_is_the_closed_form(failure_rate: float, attempts: int) -> None:
    """(1 - p^m) / (1 - p)."""
    closed = (1 - failure_rate**attempts) / (1 - failure_rate)
    assert inflation(failure_rate, attempts) == pytest.approx(closed, rel=1e-6)


@given(st.floats(0, 1), st.integers(1, 20))
def test_more_attempts_are_more_work_and_fewer_dead_letters(
    failure_rate: float, attempts: int
) -> None:
    """Never less than one attempt, never more than there are."""
    assert 1 <= inflation(failure_rate, attempts) <= attempts
    assert inflation(failure_rate, attempts + 1) >= inflation(failure_rate, attempts)
    assert dead_share(failure_rate, attempts + 1) <= dead_share(failure_rate, attempts)


def test_each_failure_adds_a_wait_and_another_way_through() -> None:
    """On average half the backoff's bound and one latency; dead letters have none."""
    rng = np.random.default_rng(1)
    found = delayed(np.full(400_000, 100.0), 0.4, 3, rng, Backoff(base_seconds=1, cap_seconds=60))
    # Of those that succeed: no failure, one (0 to 1 s), two (that and 0 to 2 s).
    weights = [0.6, 0.4 * 0.6, 0.16 * 0.6]
    lasts = [100, 200 + 500, 300 + 500 + 1000]
    expected = sum(w * t for w, t in zip(weights, lasts, strict=True)) / sum(weights)
    assert np.mean(found) == pytest.approx(expected, rel=0.01)
    assert len(found) == pytest.approx(400_000 * (1 - 0.4**3), rel=0.01)
    assert np.mean(found == 100) == pytest.approx(0.6 / (1 - 0.4**3), rel=0.01)


def test_without_failures_nothing_is_added() -> None:
    """And with nothing but failures nothing is left."""
    rng = np.random.default_rng(1)
    latencies = np.linspace(1, 100, 1000)
    assert delayed(latencies, 0.0, 5, rng).tolist() == latencies.tolist()
    assert len(delayed(latencies, 1.0, 5, rng)) == 0


def test_the_last_retries_are_waited_for() -> None:
    """As long as the latest of all events, each followed by hand."""
    backoff = Backoff(base_seconds=2, cap_seconds=5)
    found = tails_of_work(300, 10, 0.3, 4, np.random.default_rng(2), backoff, times=2000)
    rng = np.random.default_rng(3)
    latest = []
    for _ in range(400):
        last = 10.0
        for _ in range(300):
            at = 10 * rng.random()
            for attempt in range(1, 5):
                if rng.random() >= 0.3:
                    break
                # The fourth failure makes it a dead letter, which waits for nobody.
                if attempt < 4:
                    at += rng.uniform(0, min(5, 2**attempt))
            last = max(last, at)
        latest.append(last - 10)
    assert np.median(found) == pytest.approx(np.median(latest), rel=0.08)
    assert np.mean(found) == pytest.approx(np.mean(latest), rel=0.08)


def test_one_attempt_waits_for_nothing() -> None:
    """Nor do events that don't fail."""
    rng = np.random.default_rng(2)
    assert tails_of_work(1000, 10, 0.5, 1, rng).max() == 0
    assert tails_of_work(1000, 10, 0.0, 5, rng).max() == 0


@pytest.mark.parametrize(("failure_rate", "attempts"), [(-0.1, 1), (1.1, 1), (0.5, 0)])
def test_what_is_no_probability_is_refused(failure_rate: float, attempts: int) -> None:
    """Nor are no attempts taken."""
    with pytest.raises(ValueError, match="a failure rate is from 0 to 1"):
        inflation(failure_rate, attempts)


@pytest.mark.parametrize(("rate", "attempts"), [(0.0, 5), (0.1, 5), (0.3, 3), (0.9, 4)])
def test_so_many_attempts_are_made_of_so_many_events(rate: float, attempts: int) -> None:
    """Against throwing dice: the mean, and how often a mean lies within its interval."""
    rng = np.random.default_rng(3)
    thrown = np.minimum(rng.geometric(1 - rate, size=(1_000, 400)), attempts)
    found = attempts_an_event(rate, attempts, 400)
    assert found.value == pytest.approx(float(thrown.mean()), rel=0.01)
    inside = np.mean([found.holds(float(mean)) for mean in thrown.mean(axis=1)])
    assert 0.92 <= inside <= 0.98 or (rate, inside) == (0.0, 1.0)
    with pytest.raises(ValueError, match="at least one event"):
        attempts_an_event(rate, attempts, 0)
