"""What counts as a pass: sentences that are true or not, of each run by itself or beside others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.results import PIPELINE, Load, Run, Value

SPOILT: Final = ("lost", "doubled", "wrong")


@dataclass(frozen=True)
class Criterion:
    """What counts as a pass.

    Attributes:
        words: one sentence that can be true or not.
        met: whether it is, of one run, given all of its scenario.
        of: which runs it asks something of, given all of its scenario.
    """

    words: str
    met: Callable[[Run, Sequence[Run]], bool]
    of: Callable[[Run, Sequence[Run]], bool] = lambda _run, _runs: True


def judged(criteria: Sequence[Criterion], runs: Sequence[Run]) -> Iterator[Run]:
    """The runs of one scenario, each told whether it is as asked for, and what it missed."""
    for run in runs:
        asked = [one for one in criteria if one.of(run, runs)]
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


Key = Callable[[Run], Value | None]
"""What tells runs apart that are held against each other; None for one that is not."""


def label(name: str) -> Key:
    """Runs are told apart by this label."""
    return lambda run: run.variant.get(name)


def bulk_subject(run: Run) -> Value | None:
    """Runs in bulk are told apart by their subject."""
    return run.subject if run.load is Load.BULK else None


def ratios(runs: Sequence[Run], key: Key, one: Value, other: Value) -> list[float]:
    """Rates of runs with one key to those with the other, of runs made side by side."""
    rates: dict[int, dict[Value | None, float]] = {}
    for run in runs:
        rates.setdefault(run.repeat, {})[key(run)] = run.per_second
    pairs = [found for found in rates.values() if one in found and other in found]
    return [found[one] / found[other] for found in pairs]


def at_least(words: str, key: Key, one: Value, other: Value, bar: float) -> Criterion:
    """The rate with one key is at least so many times that with the other, by the median.

    It asks something of the runs with the first, where both were made.
    """
    return Criterion(
        words,
        lambda _run, runs: median(ratios(runs, key, one, other)) >= bar,
        lambda run, runs: key(run) == one and bool(ratios(runs, key, one, other)),
    )


def p99_below(per_second: float, milliseconds: float, workers: int) -> Criterion:
    """At this rate, with so many workers, 99 % of single events are done within this time."""
    return Criterion(
        f"at {per_second:g} single events a second p99 is below {milliseconds:g} ms",
        lambda run, _: run.latency is not None and run.latency.end_to_end.p99 < milliseconds,
        lambda run, _: run.workers == workers and is_timed(run, PIPELINE, per_second),
    )


def keeps_up(per_second: float, workers: int) -> Criterion:
    """At this rate fewer are left at the end than come in a second."""
    return Criterion(
        f"at {per_second:g} single events a second no backlog grows",
        lambda run, _: run.backlog < per_second,
        lambda run, _: run.workers == workers and is_timed(run, PIPELINE, per_second),
    )


def sooner(per_second: float, peer: str, share: float) -> Criterion:
    """At this rate p50 and p99 are at most this share of a peer's, by medians of all rounds."""

    def rank(name: str, subject: str, runs: Sequence[Run]) -> float:
        found = [one for one in runs if is_timed(one, subject, per_second)]
        return float(median(getattr(one.latency.end_to_end, name) for one in found if one.latency))

    return Criterion(
        f"at {per_second:g} single events a second p50 and p99 are at most {share:g} of {peer}'s",
        lambda _run, runs: all(
            rank(name, PIPELINE, runs) <= share * rank(name, peer, runs) for name in ("p50", "p99")
        ),
        lambda run, runs: (
            is_timed(run, PIPELINE, per_second)
            and any(is_timed(one, peer, per_second) for one in runs)
        ),
    )


def is_timed(run: Run, subject: str, per_second: float) -> bool:
    """Whether it is a subject's run at this rate."""
    return run.subject == subject and run.offered_per_second == per_second


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
