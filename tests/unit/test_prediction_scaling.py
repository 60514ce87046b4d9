"""The law by which throughput grows with workers."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prediction.conditions import UnfitRunsError
from benchmarks.prediction.usl import Usl, fit_usl


def law(workers: int, rate: float, contention: float, coherence: float) -> float:
    """Gunther's law, written once more."""
    slowed = 1 + contention * (workers - 1) + coherence * workers * (workers - 1)
    return rate * workers / slowed


def measured(
    counts: list[int], numbers: tuple[float, float, float], *, noise: float, seed: int, repeats: int
) -> list[tuple[int, float]]:
    """Runs of so many workers with seeded noise."""
    draw = random.Random(seed)
    return [
        (n, law(n, *numbers) * (1 + draw.uniform(-noise, noise)))
        for n in counts
        for _ in range(repeats)
    ]


def fixed(contention: float, coherence: float, *, rate: float = 1000) -> Usl:
    """A law without any doubt."""
    return Usl(
        rate=rate,
        contention=contention,
        coherence=coherence,
        scatter=0,
        counts=(1, 2),
        draws=((rate, contention, coherence),) * 3,
    )


def test_without_noise_it_is_what_linear_regression_finds() -> None:
    """(n X(1) / X(n) - 1) / (n - 1) = sigma + kappa n is a straight line (Gunther, 2007)."""
    points = measured([1, 2, 4, 8, 16], (1500, 0.08, 0.004), noise=0, seed=0, repeats=1)
    one = points[0][1]
    lines = [(n, (n * one / x - 1) / (n - 1)) for n, x in points[1:]]
    kappa, sigma = np.polyfit(*zip(*lines, strict=True), 1)
    found = fit_usl(points)
    assert found.rate == pytest.approx(one, rel=1e-4)
    assert found.contention == pytest.approx(sigma, rel=1e-3)
    assert found.coherence == pytest.approx(kappa, rel=1e-3)


@pytest.mark.parametrize("numbers", [(1000, 0.0, 0.0), (3000, 0.2, 0.0), (2000, 0.05, 0.01)])
def test_known_laws_are_found_in_noise(numbers: tuple[float, float, float]) -> None:
    """Within 10 % between the counts measured, within 20 % at twice the most of them."""
    for seed in range(4):
        points = measured([1, 2, 4, 6, 8], numbers, noise=0.05, seed=seed, repeats=3)
        found = fit_usl(points)
        for workers, within in ((3, 0.1), (5, 0.1), (7, 0.1), (12, 0.2), (16, 0.2)):
            assert found.at(workers) == pytest.approx(law(workers, *numbers), rel=within)
            assert found.predict(workers).holds(law(workers, *numbers))


def test_intervals_hold_a_run_to_come_nineteen_times_of_twenty() -> None:
    """Of fresh runs with the same noise, at a count not measured."""
    numbers, inside, runs = (2000, 0.1, 0.002), 0, 0
    for seed in range(20):
        found = fit_usl(measured([1, 2, 4, 8], numbers, noise=0.1, seed=seed, repeats=2))
        interval = found.predict(6)
        for _, rate in measured([6], numbers, noise=0.1, seed=1000 + seed, repeats=10):
            inside += interval.holds(rate)
            runs += 1
    assert 0.9 <= inside / runs <= 1.0


def test_more_noise_makes_wider_intervals() -> None:
    """And less of it narrower ones, though never as narrow as if runs did not differ at all."""
    widths = []
    for noise in (0.0, 0.05, 0.3):
        found = fit_usl(
            measured([1, 2, 4, 8], (2000, 0.1, 0), noise=noise, seed=1, repeats=3)
        ).predict(6)
        assert found.high is not None
        widths.append(found.high / found.low)
    assert 1.01 < widths[0] < widths[1] < widths[2]


def test_three_counts_leave_kappa_out_unless_throughput_falls() -> None:
    """Any three numbers go through three points, but a fall can't be told without kappa."""
    rising = fit_usl([(1, 1000), (2, 1700), (4, 2500)])
    falling = fit_usl([(1, 1000), (2, 1500), (4, 1300)])
    assert rising.coherence == 0
    assert falling.coherence > 0.05
    assert falling.at(4) == pytest.approx(1300, rel=0.02)


def test_one_count_leaves_everything_open_above_it() -> None:
    """From no gain at all to twice as much; what was measured stays certain."""
    found = fit_usl([(2, 1000.0), (2, 1010.0), (2, 990.0)])
    assert (found.contention, found.coherence, found.counts) == (0, 0, (2,))
    four = found.predict(4)
    assert four.value == pytest.approx(2000, rel=0.01)
    assert four.low < 1400
    assert four.high is not None
    assert four.high > 1900
    two = found.predict(2)
    assert two.low > 850


def test_the_peak_is_where_one_more_worker_is_slower() -> None:
    """Found by trying them all; none without kappa."""
    for kappa in (0.002, 0.01, 0.05, 0.3):
        found = fixed(0.1, kappa)
        best = max(range(1, 200), key=lambda n: law(n, 1000, 0.1, kappa))
        assert found.peak() == best
    assert fixed(0.1, 0).peak() is None


def test_what_is_no_throughput_is_refused() -> None:
    """No runs, no events, no workers."""
    for points in ([], [(1, 0.0)], [(0, 100.0)]):
        with pytest.raises(UnfitRunsError):
            fit_usl(points)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 16), st.floats(10, 10_000)), min_size=1, max_size=6))
def test_whatever_was_measured_intervals_hold_their_value(points: list[tuple[int, float]]) -> None:
    """And the numbers stay in their ranges."""
    found = fit_usl(points)
    assert 0 <= found.contention <= 1
    assert 0 <= found.coherence <= 1
    for workers in (1, 3, 20):
        interval = found.predict(workers)
        assert interval.high is not None
        assert 0 < interval.low <= interval.value <= interval.high


@given(st.floats(0, 1), st.integers(1, 50))
def test_without_kappa_one_more_worker_is_never_slower(contention: float, workers: int) -> None:
    """With it, some day it is."""
    found = fixed(contention, 0)
    assert found.at(workers + 1) >= found.at(workers) * (1 - 1e-12)
    assert fixed(contention, 0.05).at(100) < fixed(contention, 0.05).at(5)


def test_the_same_runs_give_the_same_law() -> None:
    """Seeded throughout."""
    points = measured([1, 2, 4, 8], (2000, 0.1, 0.01), noise=0.1, seed=3, repeats=2)
    assert fit_usl(points) == fit_usl(points)
