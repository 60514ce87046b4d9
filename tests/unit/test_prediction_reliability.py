"""How likely things go wrong, against throwing dice."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.estimate import Estimate
from benchmarks.prediction.reliability import (
    FailureRate,
    dead_letters,
    failures_of,
    miss_probability,
    rescues,
)
from benchmarks.results import Reliability
from tests.made_up_results import run


def test_a_deadline_is_missed_as_often_as_slow_runs_come() -> None:
    """Throughputs drawn around the value, each drained by hand."""
    rng = np.random.default_rng(1)
    drawn = 1000 * np.exp(0.1 * rng.standard_normal(200_000))
    low, high = np.quantile(drawn, (0.025, 0.975))
    throughput = Estimate(value=1000, low=float(low), high=float(high))
    for deadline in (90, 100, 110):
        late = float(np.mean((drawn - 200) * deadline < 80_000))
        found = miss_probability(throughput, 80_000, deadline, arriving=200)
        assert found == pytest.approx(late, abs=0.01)


def test_a_certain_throughput_misses_always_or_never() -> None:
    """With no doubt there is no probability between."""
    certain = Estimate(value=1000, low=1000, high=1000)
    assert miss_probability(certain, 10_001, 10) == 1
    assert miss_probability(certain, 9_999, 10) == 0
    assert miss_probability(certain, 0, 10) == 0
    with pytest.raises(ValueError, match="a deadline is after 0 seconds"):
        miss_probability(certain, 1, 0)


@given(st.integers(1, 10**6), st.floats(1, 1000), st.floats(1, 1000), st.floats(0, 900))
def test_a_later_deadline_is_never_more_likely_missed(
    events: int, deadline: float, later: float, arriving: float
) -> None:
    """Nor is a smaller backlog, or fewer events that come."""
    throughput = Estimate(value=1000, low=800, high=1300)
    here = miss_probability(throughput, events, deadline, arriving)
    assert 0 <= here <= 1
    assert miss_probability(throughput, events, deadline + later, arriving) <= here
    assert miss_probability(throughput, events // 2, deadline, arriving) <= here
    assert miss_probability(throughput, events, deadline, arriving / 2) <= here


def test_dead_letters_are_those_of_dice() -> None:
    """Each event tried up to three times, over and over."""
    draw = random.Random(5)
    counts = [
        sum(all(draw.random() < 0.2 for _ in range(3)) for _ in range(500)) for _ in range(1500)
    ]
    found = dead_letters(500, 0.2, 3)
    assert found.value == pytest.approx(500 * 0.008)
    assert np.mean(counts) == pytest.approx(found.value, rel=0.05)
    inside = np.mean([found.holds(count) for count in counts])
    assert 0.93 <= inside <= 0.995


def test_a_measured_rate_leaves_more_open_than_a_known_one() -> None:
    """The less was measured, the more."""
    known = dead_letters(100_000, 0.1, 3)
    much = dead_letters(100_000, FailureRate(failed=10_000, tried=100_000), 3)
    little = dead_letters(100_000, FailureRate(failed=10, tried=100), 3)
    widths = [(one.high or 0) - one.low for one in (known, much, little)]
    assert known.value == pytest.approx(100)
    assert much.value == pytest.approx(100)
    assert widths[0] < widths[1] < widths[2]


def test_no_failure_seen_is_not_no_failure_possible() -> None:
    """The interval of a rate reaches to about 2.5 of the attempts (Jeffreys' prior)."""
    found = FailureRate(failed=0, tried=1000).estimate()
    assert (found.value, found.low) == (0, 0)
    assert found.high is not None
    assert 0.001 < found.high < 0.004


def test_a_measured_rate_has_the_true_one_in_its_interval() -> None:
    """Nineteen times of twenty."""
    rng = np.random.default_rng(7)
    inside = [
        FailureRate(failed=int(rng.binomial(400, 0.05)), tried=400).estimate().holds(0.05)
        for _ in range(1000)
    ]
    assert 0.93 <= np.mean(inside) <= 0.98


def test_failures_are_read_off_runs_that_counted_them() -> None:
    """Errors of first attempts and of retries; runs of subjects that can't tell are left out."""
    counts = [(3, 2), (None, None), (5, None)]
    runs = [
        run(sent=100, reliability=Reliability(errors=errors, retries=retries))
        for errors, retries in counts
    ]
    assert failures_of(runs) == FailureRate(failed=8, tried=202)
    assert failures_of(runs[1:2]) is None


def test_a_dead_workers_batch_is_found_as_soon_as_dice_say() -> None:
    """A heartbeat renewed at every third of its lease, a death at any moment, sweeps in between."""
    draw = random.Random(11)
    waits = []
    for _ in range(20_000):
        death = draw.uniform(0, 12 / 3)  # since the last renewal
        expires = 12 - death
        sweep = draw.uniform(0, 2)
        while sweep < expires:
            sweep += 2
        waits.append(sweep)
    found = rescues(1, 1, 1, batch=100, lease_seconds=12, sweep_interval=2)
    assert found.seconds.value == pytest.approx(np.mean(waits), rel=0.01)
    assert found.seconds.low == pytest.approx(min(waits), rel=0.01)
    assert found.seconds.high == pytest.approx(max(waits), rel=0.01)


def test_deaths_are_counted_and_with_them_what_they_hold_up() -> None:
    """Four workers, a death an hour each, a day: 96, give or take twenty."""
    found = rescues(1, 24, 4, batch=500, busy=0.5)
    assert found.deaths.value == 96
    assert 70 < found.deaths.low < 80
    assert found.held_up.value == 48 * 500
    assert rescues(0, 24, 4, batch=500).deaths.high == 0
    with pytest.raises(ValueError, match="not negative"):
        rescues(-1, 24, 4, batch=500)
