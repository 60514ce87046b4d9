"""Two groups of runs held against each other."""

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparing import (
    FEWEST,
    Answer,
    Compared,
    compare,
    compare_results,
    environment_warnings,
    ratio_of,
)
from benchmarks.results import Cost, Latency, Run, Usage
from tests.made_up_results import environment, result, run, times

pytestmark = pytest.mark.uncounted


def timed(per_second: float, repeat: int = 1, *, workers: int = 2, p99: float | None = None) -> Run:
    """A run in bulk of a thousand events."""
    return run(
        per_second,
        sent=1000,
        scenario="throughput",
        variant={"workers": workers},
        repeat=repeat,
        workers=workers,
        latency=None if p99 is None else Latency(end_to_end=times(p99 / 2, p99)),
    )


def noisy(count: int, seed: int, *, faster: float = 1.0, machine: float = 0.4) -> list[list[float]]:
    """Two subjects side by side on a machine whose speed changes much more than they differ."""
    draw = random.Random(seed)
    speeds = [math.exp(draw.gauss(0, machine)) for _ in range(count)]
    return [
        [1000 * factor * speed * math.exp(draw.gauss(0, 0.03)) for speed in speeds]
        for factor in (faster, 1.0)
    ]


def alarms(count: int, *, paired: bool, machine: float) -> float:
    """The share of comparisons of what is the same that call it different."""
    found = [
        ratio_of("x", *noisy(count, seed, machine=machine), paired=paired, seed=seed)
        for seed in range(400)
    ]
    # Without the limit below which a difference is immaterial: the interval itself is in question.
    outside = [one for one in found if one.ratio and not one.ratio.holds(1)]
    return len(outside) / len(found)


@pytest.mark.parametrize("count", [FEWEST, 7, 8, 12])
def test_alike_pairs_look_different_in_one_case_of_twenty_at_most(count: int) -> None:
    """About 5 % are promised; few runs make it coarse: with five pairs it is one of sixteen."""
    assert 0.002 < alarms(count, paired=True, machine=0.4) < 0.08


@pytest.mark.parametrize("count", [FEWEST, 8, 12])
def test_alike_groups_look_different_in_one_case_of_twenty_at_most(count: int) -> None:
    """The same without pairs, on a machine of steady speed."""
    assert 0.002 < alarms(count, paired=False, machine=0.0) < 0.08


def test_a_fifth_more_is_found_in_spite_of_a_noisy_machine() -> None:
    """Pairs share the machine's noise, so it falls out of their ratios."""
    found = [ratio_of("x", *noisy(6, seed, faster=1.2), paired=True) for seed in range(100)]
    assert sum(one.answer is Answer.DIFFERENT for one in found) > 97
    assert sum(one.ratio is not None and one.ratio.holds(1.2) for one in found) > 90


def test_without_pairs_the_same_noise_hides_it() -> None:
    """So pairs are what beats a noisy machine, and not some kindness of the interval."""
    found = [ratio_of("x", *noisy(6, seed, faster=1.2), paired=False) for seed in range(100)]
    assert sum(one.answer is Answer.DIFFERENT for one in found) < 20
    assert sum(one.answer is Answer.TOO_FEW for one in found) > 60


def test_answers_are_sentences() -> None:
    """Who is faster, by how much, and between which bounds."""
    found = ratio_of("x", [120, 121, 122, 123, 124], [100] * 5, paired=True, names=("new", "old"))
    assert found.words == "new is 1.22 times old (1.20 to 1.24)"
    assert (found.a, found.b, found.paired, found.runs) == (122, 100, True, 5)


def test_fewer_than_five_runs_are_too_few() -> None:
    """However clear they look: four of four on one side are chance in one case of eight."""
    found = ratio_of("x", [200] * 4, [100] * 4, paired=True)
    assert (found.answer, found.ratio) == (Answer.TOO_FEW, None)
    assert found.words == "too few runs to tell: 4 of each, 5 are needed"


def test_a_wide_interval_is_not_called_alike() -> None:
    """Not to have seen a difference is not to have seen that there is none."""
    found = ratio_of("x", [50, 80, 100, 130, 200], [100] * 5, paired=True)
    assert found.answer is Answer.TOO_FEW
    # The interval spans a factor of 4 where 1.5 is allowed, and shrinks with the root of runs.
    needed = math.ceil(5 * (math.log(4) / math.log(1.5)) ** 2)
    assert found.words.endswith(f"about {needed} are needed")


def test_what_is_certain_but_immaterial_is_no_real_difference() -> None:
    """One percent, however steady."""
    found = ratio_of("x", [101.0] * 6, [100.0] * 6, paired=True)
    assert found.words == "no real difference (1.01 to 1.01): less than 2%"


def test_zeros_have_no_ratio() -> None:
    """Both all zero are alike; some zeros can't be told."""
    assert ratio_of("x", [0.0] * 5, [0.0] * 5, paired=True).answer is Answer.SAME
    assert "zero" in ratio_of("x", [0.0, 1, 1, 1, 1], [1.0] * 5, paired=True).words


@given(
    pairs=st.lists(st.tuples(st.floats(1, 1e4), st.floats(1, 1e4)), min_size=5, max_size=9),
    paired=st.booleans(),
)
def test_the_other_way_round_the_ratio_is_the_inverse(
    *, pairs: list[tuple[float, float]], paired: bool
) -> None:
    """And the interval always holds it."""
    a, b = [one for one, _ in pairs], [other for _, other in pairs]
    there = ratio_of("x", a, b, paired=paired).ratio
    back = ratio_of("x", b, a, paired=paired).ratio
    assert there is not None
    assert back is not None
    assert there.value == pytest.approx(1 / back.value)
    assert there.holds(there.value)


def test_pairs_are_those_of_one_repeat_in_whatever_order() -> None:
    """The third run of the one is held against the third of the other."""
    speeds = [100.0, 400.0, 200.0, 800.0, 1600.0]
    a = [timed(1.5 * speed, repeat) for repeat, speed in enumerate(speeds)]
    b = [timed(speed, repeat) for repeat, speed in enumerate(speeds)]
    found = figure(compare(a, b[::-1]).figures, "events a second")
    assert found.paired
    assert found.words == "A is 1.50 times B (1.50 to 1.50)"


def test_only_what_both_measured_is_compared() -> None:
    """Latency of one side alone is left out, and the repeats without a partner with it."""
    a = [timed(100, repeat, p99=20) for repeat in range(6)]
    b = [timed(100, repeat, p99=10 if repeat else None) for repeat in range(7)]
    found = compare(a, b).figures
    assert {one.figure for one in found} >= {"events a second", "p50, ms", "p99, ms"}
    assert figure(found, "p99, ms").runs == 5
    assert figure(found, "p99, ms").words == "A is 2.00 times B (2.00 to 2.00)"
    assert "p99, ms" not in {one.figure for one in compare(a, [timed(100, 1)]).figures}


def test_costs_are_by_event() -> None:
    """CPU time, commands and operations, of all processes and kinds together."""
    usage = [
        Usage(process=name, cpu_seconds=0.1, rss_mib_start=1, rss_mib_max=size, rss_mib_end=2)
        for name, size in (("worker-1", 80), ("worker-2", 90))
    ]
    cost = Cost(redis_commands=3000, mongodb_operations={"insert": 1500, "query": 500})
    runs = [timed(100, n).model_copy(update={"usage": usage, "cost": cost}) for n in range(5)]
    found = {one.figure: one.a for one in compare(runs, runs).figures}
    assert found["CPU an event, us"] == pytest.approx(200)
    assert found["largest process, MiB"] == 90
    assert found["Redis commands an event"] == 3
    assert found["MongoDB operations an event"] == 2


def test_what_else_was_measured_is_compared_by_its_name() -> None:
    """And how long that took is no throughput."""
    runs = [
        timed(100, n).model_copy(update={"figures": {"replayed_per_s": 10.0}}) for n in range(5)
    ]
    more = [one.model_copy(update={"figures": {"replayed_per_s": 30.0}}) for one in runs]
    (found,) = compare(more, runs).figures[-1:]
    assert (found.figure, found.words) == ("replayed_per_s", "A is 3.00 times B (3.00 to 3.00)")
    assert "events a second" not in {one.figure for one in compare(more, runs).figures}


def test_results_are_compared_variant_by_variant() -> None:
    """Those that only one result has have nothing to be compared with."""
    ours = result(*(timed(100 * n, r, workers=n) for n in (1, 2) for r in range(5)))
    theirs = ours.model_copy(update={"runs": [r for r in ours.runs if r.workers == 2]})
    (found,) = compare_results(ours, theirs)
    assert found.name == "throughput pipeline workers=2"
    assert (found.warnings, figure(found.figures, "events a second").paired) == ([], False)


def test_environments_that_differ_are_warned_of() -> None:
    """In whatever figures depend on."""
    changes = {
        "cpu": "another",
        "cores": 8,
        "memory_gib": 32.0,
        "system": "Linux 7",
        "write_concern": "1",
        "redis_durability": "none",
        "versions": environment().versions | {"python": "3.12.0"},
    }
    for name, value in changes.items():
        assert (
            len(environment_warnings(environment(), environment().model_copy(update={name: value})))
            == 1
        ), name
    busy = environment().model_copy(update={"load_before": 7.5})
    assert environment_warnings(environment(), busy) == [
        "the machine was busy before: a load of 7.5 on 4 cores"
    ]


def figure(found: Sequence[Compared], name: str) -> Compared:
    """The one of that name."""
    return next(one for one in found if one.figure == name)
