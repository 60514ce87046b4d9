"""Predictions held against runs that the model has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from benchmarks.estimate import Estimate
from benchmarks.prediction.conditions import (
    Conditions,
    UnfitRunsError,
    by_conditions,
    kept_up,
    middle,
)
from benchmarks.prediction.model import Model
from benchmarks.prediction.retrying import attempts_an_event
from benchmarks.results import Load, Run

ATTEMPTS: Final = "attempts an event"
BARS: Final = {"events a second": 15.0, "p50, ms": 30.0, "p99, ms": 30.0, ATTEMPTS: 5.0}
"""How far off a prediction may be, in percent."""
EVERY: Final = 3


class Check(BaseModel):
    """One figure of one variant.

    Attributes:
        conditions: in words.
        figure: its name.
        predicted: with its interval.
        measured: the median of the repeats.
        runs: so many repeats.
        error_percent: of the prediction to what was measured.
        bar_percent: how far off it may be.
        within_bar: whether it is not.
        within_interval: whether the measured figure is in the interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conditions: str
    figure: str
    predicted: Estimate
    measured: float
    runs: int
    error_percent: float
    bar_percent: float
    within_bar: bool
    within_interval: bool

    def __str__(self) -> str:
        verdict = "within" if self.within_bar else "NOT within"
        return (
            f"{self.conditions}: {self.figure} predicted {self.predicted}, "
            f"measured {self.measured:,.4g}: {self.error_percent:+.1f} %, "
            f"{verdict} {self.bar_percent:g} %"
        )


class Accuracy(BaseModel):
    """How far predictions of one figure are off, over the variants that were held out.

    Attributes:
        figure: its name.
        variants: so many were held out.
        within_bar: of so many the error was within the bar.
        median_percent: the median of the errors' sizes.
        worst_percent: the largest of them.
        bar_percent: how far off one may be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    figure: str
    variants: int
    within_bar: int
    median_percent: float
    worst_percent: float
    bar_percent: float

    def __str__(self) -> str:
        variants = "1 variant" if self.variants == 1 else f"{self.variants} variants"
        return (
            f"{self.figure} of {variants} held out: predicted {self.median_percent:.1f} % off at "
            f"the median and {self.worst_percent:.1f} % at worst, {self.within_bar} within "
            f"{self.bar_percent:g} %"
        )


def accuracy(checks: Sequence[Check]) -> list[Accuracy]:
    """How far off all these predictions are, figure by figure."""
    by_figure: dict[str, list[Check]] = {}
    for one in checks:
        by_figure.setdefault(one.figure, []).append(one)
    return [
        Accuracy(
            figure=figure,
            variants=len(found),
            within_bar=sum(one.within_bar for one in found),
            median_percent=middle(abs(one.error_percent) for one in found),
            worst_percent=max(abs(one.error_percent) for one in found),
            bar_percent=BARS[figure],
        )
        for figure, found in by_figure.items()
    ]


def hold_out(runs: Sequence[Run], *, beyond: bool = False) -> tuple[list[Run], list[Run]]:
    """Runs to fit to, and runs to check against.

    Whole variants are held out: the repeats of one are alike, so a model that has seen one of them
    has seen all. Of those that lie between others, in the order of workers and rates, every third
    is held out, so that nothing is predicted beyond what was measured. Those with failures are all
    held out, since nothing is fitted to them.

    Args:
        runs: all.
        beyond: hold out the last variant of each load instead: the most workers, and their highest
            rate.
    """
    groups = by_conditions(runs)
    series: dict[tuple[str, Load], list[Conditions]] = {}
    for one in groups:
        if not one.failure_rate:
            series.setdefault((one.work, one.load), []).append(one)
    out = {one for one in groups if one.failure_rate} | {
        one
        for variants in series.values()
        for one in (variants[1:][-1:] if beyond else _between(variants))
    }
    fitted = [run for one, found in groups.items() if one not in out for run in found]
    return fitted, [run for one, found in groups.items() if one in out for run in found]


def _between(variants: Sequence[Conditions]) -> list[Conditions]:
    """Every third of those that lie within what the others span."""
    left = list(variants)
    inside = 0
    out = []
    for one in variants:
        if not _spanned(one, left):
            continue
        if inside % EVERY == 0:
            left.remove(one)
            out.append(one)
        inside += 1
    return out


def _spanned(one: Conditions, among: Sequence[Conditions]) -> bool:
    """Whether it lies strictly within the others in something, and at no end of it all alone."""
    within = False
    for own, values in zip(_numbers(one), zip(*map(_numbers, among), strict=True), strict=True):
        if min(values) < own < max(values):
            within = True
        elif values.count(own) == 1 < len(values):
            return False
    return within


def _numbers(one: Conditions) -> tuple[float, ...]:
    return one.workers, one.per_second or 0.0, one.hot_share, one.failure_rate


def check(model: Model, held_out: Sequence[Run]) -> list[Check]:
    """Predict each variant of these runs, and compare with what was measured.

    That a load which is kept up with has the throughput that is offered is no prediction, so it is
    checked only where the model or the runs say that it was too much.

    Raises:
        UnfitRunsError: the runs are not of the model's subject.
    """
    others = sorted({run.subject for run in held_out} - {model.subject})
    if others:
        raise UnfitRunsError(f"a model of {model.subject} tells nothing of {', '.join(others)}")
    found = []
    for one, runs in by_conditions(run for run in held_out if run.sent and run.seconds).items():
        found += _checked(model, one, runs)
    return found


def _checked(model: Model, one: Conditions, runs: Sequence[Run]) -> list[Check]:
    predicted = model.predict(
        workers=one.workers,
        per_second=one.per_second,
        events=round(middle(run.sent for run in runs)) if one.load is Load.BULK else None,
        hot_share=one.hot_share,
        failure_rate=one.failure_rate,
        attempts=one.attempts,
        work=one.work,
    )
    found = []
    if not (predicted.keeps_up and all(map(kept_up, runs))):
        rate = middle(run.per_second for run in runs)
        found.append(_check(one, "events a second", predicted.throughput, rate, len(runs)))
    timed = [run.latency.end_to_end for run in runs if run.latency and kept_up(run)]
    if timed and predicted.p50_ms and predicted.p99_ms:
        p50, p99 = middle(x.p50 for x in timed), middle(x.p99 for x in timed)
        found.append(_check(one, "p50, ms", predicted.p50_ms, p50, len(timed)))
        found.append(_check(one, "p99, ms", predicted.p99_ms, p99, len(timed)))
    counted = [run for run in runs if run.reliability.retries is not None and run.events]
    if one.failure_rate and counted:
        events = round(middle(run.events for run in counted))
        expected = attempts_an_event(one.failure_rate, one.attempts, events)
        made = middle(1 + (run.reliability.retries or 0) / run.events for run in counted)
        found.append(_check(one, ATTEMPTS, expected, made, len(counted)))
    return found


def _check(one: Conditions, figure: str, predicted: Estimate, measured: float, runs: int) -> Check:
    error = 100 * (predicted.value / measured - 1) if measured else float(predicted.value > 0) * 100
    bar = BARS[figure]
    return Check(
        conditions=str(one),
        figure=figure,
        predicted=predicted,
        measured=measured,
        runs=runs,
        error_percent=error,
        bar_percent=bar,
        within_bar=abs(error) <= bar,
        within_interval=predicted.holds(measured),
    )
