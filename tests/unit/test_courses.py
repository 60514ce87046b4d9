"""What lies between two readings: exact where it is known, and nothing where it is not."""

from bisect import bisect_left
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics import Counts
from pipeline.metrics.catalogue import (
    E2E_EDGES,
    EVENT_E2E,
    EVENT_FAILURES,
    EVENTS,
    INTAKE_EVENTS,
    OUT_OF_ORDER,
)
from pipeline.metrics.readings import Reading, course, quantile, reading_of, thinned

LANES = {"actions": 3}


def reading(at: float, n: float, waiting: int = 0) -> Reading:
    """One in which everything stands at n, and as many events took less than 0.1 s."""
    counted = dict.fromkeys(("accepted", "done", "failed", "late"), n)
    return Reading(at, counted, [n, *[0.0] * len(E2E_EDGES)], {"actions": waiting})


def test_a_reading_is_the_sum_over_handlers_and_tenants() -> None:
    """Of what the names say, and of nothing else that is counted."""
    counts = Counts()
    for handler in ("a.b", "c.d+e.f"):
        counts.add(EVENTS, (handler, "done"), 3)
        counts.add(EVENTS, (handler, "skipped"), 2)
        counts.add(EVENTS, (handler, "retrying"), 100)
        counts.add(EVENT_FAILURES, (handler, "KeyError"), 1)
        counts.add(EVENT_FAILURES, (handler, "_other"), 1)
        counts.add(OUT_OF_ORDER, (handler, "late"), 7)
        counts.add(OUT_OF_ORDER, (handler, "tie"), 100)
        counts.observe(EVENT_E2E, [(0.2, 2), (9e9, 1)], (handler,))
    counts.add(INTAKE_EVENTS, ("acme", "accepted"), 5)
    counts.add(INTAKE_EVENTS, ("_other", "accepted"), 6)
    counts.add(INTAKE_EVENTS, ("acme", "duplicate"), 100)
    found = reading_of(counts.take().added, LANES, 12.5)
    assert found.counted == {"accepted": 11, "done": 10, "failed": 4, "late": 14}
    assert found.took == [0, 4, *[0] * (len(E2E_EDGES) - 2), 2]
    assert (found.waiting, found.at) == (LANES, 12.5)


def test_rates_are_what_came_by_the_seconds_it_took() -> None:
    """However late a reading was taken; the first one has none."""
    points = course([reading(0, 100), reading(10, 150), reading(21, 150), reading(30, 159)], 10, 0)
    assert [point.rates and point.rates["done"] for point in points] == [None, 5, 0, 1]
    assert [point.latency is None for point in points] == [True, False, True, False]


def test_what_is_not_known_is_nothing_and_not_zero() -> None:
    """A point without values stands in a gap; after it the first rate is missing too."""
    points = course([reading(0, 1, 4), reading(10, 2, 5), reading(90, 900, 6)], 10, 0)
    assert [point.at for point in points] == [0, 10, 20, 90]
    assert [point.waiting and point.waiting["actions"] for point in points] == [4, 5, None, 6]
    assert [point.rates is None for point in points] == [True, False, True, True]


def test_counts_that_began_anew_are_no_negative_rates() -> None:
    """After a wipe of Redis one rate is missing, and those after it are right."""
    points = course([reading(0, 500), reading(10, 3), reading(20, 23)], 10, 0)
    assert [point.rates and point.rates["late"] for point in points] == [None, None, 2]


def test_a_reading_before_the_beginning_gives_the_first_rate() -> None:
    """And is not shown itself."""
    (point,) = course([reading(0, 1), reading(10, 31)], 10, begin=5)
    assert point.rates is not None
    assert (point.at, point.rates["accepted"]) == (10, 3)


def test_nothing_was_read() -> None:
    """No reading is no point."""
    assert course([], 10, 0) == []
    assert thinned([], 60) == []


@given(steps=st.lists(st.tuples(st.integers(8, 14), st.integers(0, 1_000)), min_size=2))
def test_leaving_readings_out_averages_nothing_twice(steps: list[tuple[int, int]]) -> None:
    """Rates by their seconds come to all that was counted, in small steps as in large ones."""
    readings, at, n = [reading(0, 0)], 0, 0
    for seconds, more in steps:
        at, n = at + seconds, n + more
        readings.append(reading(at, n))
    for kept, step in ((readings, 10), (thinned(readings, 60), 60)):
        points = course(kept, step, 0)
        come = sum(
            after.rates["done"] * (after.at - before.at)
            for before, after in pairwise(points)
            if after.rates is not None
        )
        begun = next(one.counted["done"] for one in kept)
        assert abs(come - (n - begun)) < 1e-6 * max(1, n)


@given(
    values=st.lists(st.floats(0, 4_000), min_size=1, max_size=200),
    q=st.sampled_from([0.5, 0.9, 0.99]),
)
def test_a_quantile_is_in_the_bucket_of_the_true_one(values: list[float], q: float) -> None:
    """Found by sorting; what is beyond the last edge is told as the last edge."""
    counts = [0.0] * (len(E2E_EDGES) + 1)
    for value in values:
        counts[bisect_left(E2E_EDGES, value)] += 1
    rank = next(n for n in range(1, len(values) + 1) if n >= q * len(values))
    at = bisect_left(E2E_EDGES, sorted(values)[rank - 1])
    low, high = (0.0, *E2E_EDGES)[at], (*E2E_EDGES, E2E_EDGES[-1])[at]
    assert low <= quantile(counts, q) <= high * (1 + 1e-12)
