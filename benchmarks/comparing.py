"""Two groups of runs held against each other: how they differ, and whether that is real.

On a machine that others share, two runs an hour apart differ by more than most changes to a
program. Runs made side by side share that noise, so they are compared pair by pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from statistics import median
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from benchmarks.estimate import CONFIDENCE, Estimate, Floats, tails
from benchmarks.results import Environment, Result, Run

SEED: Final = 2026
RESAMPLES: Final = 4_000
FEWEST: Final = 5
"""Of fewer runs the median's interval can't reach 95 %: four alike fall on one side of the truth
in one case of eight."""
IMMATERIAL: Final = 0.02
WIDEST: Final = 1.5
"""An interval whose ends differ by more than this factor says nothing."""

Figure = Callable[[Run], float | None]


class Answer(StrEnum):
    """What a comparison comes to."""

    DIFFERENT = "different"
    SAME = "no real difference"
    TOO_FEW = "too few runs to tell"


class Compared(BaseModel):
    """One figure of A held against that of B.

    Attributes:
        figure: its name, with its unit.
        a: its median in A.
        b: its median in B.
        ratio: A's to B's with its interval; None where too few runs have the figure.
        runs: so many of each, or so many pairs.
        paired: whether runs made side by side were compared with each other.
        answer: whether they differ.
        words: the same as a sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    figure: str
    a: float
    b: float
    ratio: Estimate | None
    runs: int
    paired: bool
    answer: Answer
    words: str


class Comparison(BaseModel):
    """All figures of one variant, or of one group of runs.

    Attributes:
        name: scenario, subject and variant.
        figures: each compared.
        warnings: why the two may not compare at all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    figures: list[Compared]
    warnings: list[str]


def _latency(share: str) -> Figure:
    def read(run: Run) -> float | None:
        return None if run.latency is None else float(getattr(run.latency.end_to_end, share))

    return read


def _cpu_per_event(run: Run) -> float | None:
    taken = sum(process.cpu_seconds for process in run.usage)
    return 1e6 * taken / run.sent if taken and run.sent else None


def _memory(run: Run) -> float | None:
    return max((process.rss_mib_max for process in run.usage), default=None)


def _redis_per_event(run: Run) -> float | None:
    return run.cost.redis_commands / run.sent if run.sent else None


def _mongodb_per_event(run: Run) -> float | None:
    return sum(run.cost.mongodb_operations.values()) / run.sent if run.sent else None


def _throughput(run: Run) -> float | None:
    # What measured something else took as long as that took.
    return None if run.figures else run.per_second


def _named(name: str) -> Figure:
    return lambda run: run.figures.get(name)


FIGURES: Final[dict[str, Figure]] = {
    "events a second": _throughput,
    "p50, ms": _latency("p50"),
    "p99, ms": _latency("p99"),
    "CPU an event, us": _cpu_per_event,
    "largest process, MiB": _memory,
    "Redis commands an event": _redis_per_event,
    "MongoDB operations an event": _mongodb_per_event,
}


def compare_results(a: Result, b: Result) -> list[Comparison]:
    """Every scenario, subject and variant that both have, A against B.

    Two results were not made side by side, so their runs are not paired.
    """
    warnings = environment_warnings(a.environment, b.environment)
    ours, theirs = _groups(a.runs), _groups(b.runs)
    return [
        compare(ours[name], theirs[name], name=name, paired=False, warnings=warnings)
        for name in ours
        if name in theirs
    ]


def compare(
    a: Sequence[Run],
    b: Sequence[Run],
    *,
    name: str = "",
    paired: bool = True,
    names: tuple[str, str] = ("A", "B"),
    warnings: Sequence[str] = (),
    seed: int = SEED,
) -> Comparison:
    """Two groups of runs of one result: two variants, or two subjects.

    Each interval holds by itself in 95 of 100 cases, so of twenty figures that are the same one
    is expected to look different.

    Args:
        a: the one group.
        b: the other.
        name: of the comparison.
        paired: whether runs of the same `repeat` were made side by side.
        names: of the groups, in sentences.
        warnings: to hand on.
        seed: of the bootstrap.
    """
    compared = []
    named = {name: _named(name) for name in sorted({key for run in a for key in run.figures})}
    for figure, read in (FIGURES | named).items():
        left, right, pairs = _values(a, b, read, paired=paired)
        if left and right:
            compared.append(ratio_of(figure, left, right, paired=pairs, names=names, seed=seed))
    return Comparison(name=name, figures=compared, warnings=list(warnings))


def ratio_of(
    figure: str,
    a: Sequence[float],
    b: Sequence[float],
    *,
    paired: bool,
    names: tuple[str, str] = ("A", "B"),
    seed: int = SEED,
) -> Compared:
    """The ratio of A to B, its interval, and the answer.

    Pairs give the median of their ratios, and others the ratio of the medians. The interval is
    that of the percentile bootstrap (Efron, 1979); of pairs, with its percentiles moved outwards as
    small samples need it (Hesterberg, 2015, "What Teachers Should Know About the Bootstrap").

    Args:
        figure: its name.
        a: values of A; of pairs, in the order of those of B.
        b: values of B.
        paired: whether they are pairs.
        names: of the two, in sentences.
        seed: of the bootstrap.
    """
    count = min(len(a), len(b))
    middle = (median(a), median(b))
    interval = None
    if min(*a, *b) > 0:
        interval = _interval(np.log(a), np.log(b), paired=paired, seed=seed)
    answer, words = _judged(interval, count, names, alike=set(a) | set(b) == {0.0})
    return Compared(
        figure=figure,
        a=middle[0],
        b=middle[1],
        ratio=interval,
        runs=count,
        paired=paired,
        answer=answer,
        words=words,
    )


def environment_warnings(a: Environment, b: Environment) -> list[str]:
    """In what two environments differ, so that their figures may not compare; one sentence each."""
    found = [
        f"{what}: {mine} and {others}"
        for what, mine, others in (
            ("another processor", a.cpu, b.cpu),
            ("another number of cores", a.cores, b.cores),
            ("another memory, GiB", round(a.memory_gib), round(b.memory_gib)),
            ("another system", a.system, b.system),
            ("another write concern", a.write_concern, b.write_concern),
            ("another durability of Redis", a.redis_durability, b.redis_durability),
        )
        if mine != others
    ]
    found += [
        f"another version of {name}: {a.versions.get(name)} and {b.versions.get(name)}"
        for name in sorted(a.versions.keys() | b.versions.keys())
        if a.versions.get(name) != b.versions.get(name)
    ]
    busy = [one.load_before for one in (a, b) if one.load_before > one.cores]
    if busy:
        found.append(f"the machine was busy before: a load of {max(busy):g} on {a.cores} cores")
    return found


def _groups(runs: Sequence[Run]) -> dict[str, list[Run]]:
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        variant = ", ".join(f"{key}={value}" for key, value in sorted(run.variant.items()))
        name = " ".join(part for part in (run.scenario, run.subject, variant) if part)
        grouped.setdefault(name, []).append(run)
    return grouped


def _values(
    a: Sequence[Run], b: Sequence[Run], read: Figure, *, paired: bool
) -> tuple[list[float], list[float], bool]:
    """The figure's values on both sides, and whether they are pairs."""
    left = [(run.repeat, value) for run in a if (value := read(run)) is not None]
    right = [(run.repeat, value) for run in b if (value := read(run)) is not None]
    ours, theirs = dict(left), dict(right)
    both = sorted(ours.keys() & theirs.keys())
    once = len(ours) == len(left) and len(theirs) == len(right)
    if paired and once and both:
        return [ours[number] for number in both], [theirs[number] for number in both], True
    return [value for _, value in left], [value for _, value in right], False


def _interval(a: Floats, b: Floats, *, paired: bool, seed: int) -> Estimate | None:
    count = min(len(a), len(b))
    if count < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    confidence = CONFIDENCE
    if paired:
        differences = a - b
        value = float(np.median(differences))
        draws = np.median(_resampled(differences, rng), axis=1)
        # A median of seven has seven values to choose from, and the plain interval is too narrow
        # in one case of seven. A difference of two medians has many, and needs no widening.
        reach = math.sqrt(count / (count - 1)) * float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
        confidence = 1 - 2 * float(stats.norm.sf(reach))
    else:
        value = float(np.median(a) - np.median(b))
        draws = np.median(_resampled(a, rng), axis=1) - np.median(_resampled(b, rng), axis=1)
    low, high = tails(draws, confidence)
    return Estimate(
        value=math.exp(value), low=math.exp(min(low, value)), high=math.exp(max(high, value))
    )


def _resampled(values: Floats, rng: np.random.Generator) -> Floats:
    return rng.choice(values, size=(RESAMPLES, len(values)))


def _judged(
    interval: Estimate | None, count: int, names: tuple[str, str], *, alike: bool
) -> tuple[Answer, str]:
    if alike:
        return Answer.SAME, f"{Answer.SAME}: all are zero"
    if count < FEWEST:
        return Answer.TOO_FEW, f"{Answer.TOO_FEW}: {count} of each, {FEWEST} are needed"
    if interval is None or interval.high is None:
        return Answer.TOO_FEW, f"{Answer.TOO_FEW}: some are zero, and have no ratio"
    span = f"({interval.low:.2f} to {interval.high:.2f})"
    if interval.holds(1):
        return _without_difference(math.log(interval.high / interval.low), span, count)
    if abs(interval.value - 1) < IMMATERIAL:
        return Answer.SAME, f"{Answer.SAME} {span}: less than {IMMATERIAL:.0%}"
    return Answer.DIFFERENT, f"{names[0]} is {interval.value:.2f} times {names[1]} {span}"


def _without_difference(width: float, span: str, count: int) -> tuple[Answer, str]:
    """Alike, if the interval is narrow enough to say so; it shrinks with the root of the runs."""
    excess = width / math.log(WIDEST)
    if excess <= 1:
        return Answer.SAME, f"{Answer.SAME} {span}"
    needed = math.ceil(count * excess**2)
    words = f"{Answer.TOO_FEW} {span}: {count} of each, about {needed} are needed"
    return Answer.TOO_FEW, words
