"""What counts as a pass: sentences that are true or not, of each run by itself or beside others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.results import Run, Value

SPOILT: Final = ("lost", "doubled", "wrong")


@dataclass(frozen=True)
class Criterion:
    """What counts as a pass.

    Attributes:
        words: one sentence that can be true or not.
        met: whether it is, of one run, given all of its scenario.
        of: which runs it asks something of.
    """

    words: str
    met: Callable[[Run, Sequence[Run]], bool]
    of: Callable[[Run], bool] = lambda _run: True


def judged(criteria: Sequence[Criterion], runs: Sequence[Run]) -> Iterator[Run]:
    """The runs of one scenario, each told whether it is as asked for, and what it missed."""
    for run in runs:
        asked = [one for one in criteria if one.of(run)]
        missed = [one.words for one in asked if not one.met(run, runs)]
        passed = not missed if asked else None
        yield run.model_copy(update={"passed": passed, "missed": missed})


def nothing_lost(run: Run) -> bool:
    """Whether the run has lost, doubled or spoilt nothing, as far as that was looked at.

    Nothing is given up either, but for what has to be; of that, all is.
    """
    found = run.reliability
    spoilt = any(getattr(found, kind) for kind in SPOILT)
    return not spoilt and (found.dead or 0) == (found.doomed or 0)


def ratio(runs: Sequence[Run], label: str, one: Value, other: Value) -> float:
    """Median of the ratios of rates, of runs made side by side that differ in one label.

    Raises:
        statistics.StatisticsError: there are no such runs.
    """
    rates: dict[int, dict[Value, float]] = {}
    for run in runs:
        rates.setdefault(run.repeat, {})[run.variant[label]] = run.per_second
    pairs = [found for found in rates.values() if one in found and other in found]
    return median(found[one] / found[other] for found in pairs)


def at_least(words: str, label: str, one: Value, other: Value, bar: float) -> Criterion:
    """The rate with one value of a label is at least so many times that with the other.

    It asks something of the runs with the first value.
    """
    return Criterion(
        words,
        lambda _run, runs: ratio(runs, label, one, other) >= bar,
        lambda run: run.variant[label] == one,
    )


def p99_below(per_second: float, milliseconds: float, workers: int) -> Criterion:
    """At this rate, with so many workers, 99 % of single events are done within this time."""
    return Criterion(
        f"at {per_second:g} single events a second p99 is below {milliseconds:g} ms",
        lambda run, _: run.latency is not None and run.latency.end_to_end.p99 < milliseconds,
        lambda run: run.offered_per_second == per_second and run.workers == workers,
    )


def figure(words: str, name: str, met: Callable[[float], bool]) -> Criterion:
    """What was measured under this name is as it should be."""
    return Criterion(words, lambda run, _: met(run.figures[name]))


SOUND: Final = Criterion(
    "nothing is lost, doubled, wrong or a dead letter", lambda run, _: nothing_lost(run)
)
GIVEN_UP: Final = Criterion(
    "nothing is lost, doubled or wrong, and exactly what can't succeed is a dead letter",
    lambda run, _: nothing_lost(run),
)
