"""A model of the pipeline on one machine: fitted to measured runs, asked about others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from benchmarks.estimate import Estimate
from benchmarks.prediction.calibration import Full, Offered, Seen, fit_queue
from benchmarks.prediction.capacity import Capacity, Mix, hot_rate
from benchmarks.prediction.conditions import (
    KEPT_UP,
    MAIN,
    MAX_ATTEMPTS,
    Conditions,
    UnfitRunsError,
    besides_of,
    by_conditions,
    kept_up,
    middle,
    one_kind_of_work,
)
from benchmarks.prediction.queueing import JOBS, ROOM, Arrivals
from benchmarks.prediction.reliability import FailureRate, dead_letters, miss_probability
from benchmarks.prediction.retrying import tails_of_work
from benchmarks.prediction.usl import Usl, fit_usl
from benchmarks.results import Load, Run

SEED: Final = 1961


class Prediction(BaseModel):
    """What to expect. Intervals are where 95 of 100 runs would lie, if the model holds.

    Attributes:
        capacity: most events a second that can go through.
        throughput: events a second that do: of a backlog with its retries, of an open load what
            is offered unless that is too much.
        keeps_up: whether an open load is worked off as it comes; None without one.
        p50_ms: median latency; None where the load is not kept up with, or no latency was fitted.
        p99_ms: its 99th percentile.
        drain_seconds: until the events are done; None where they never are, or none were given.
        workers_needed: the fewest that keep up, or are done by the deadline; None if no number
            is enough, or nothing was asked for.
        miss_probability: that the events are not done by the deadline.
        dead_letters: of the events.
        notes: sentences that a reader has to know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    capacity: Estimate
    throughput: Estimate
    keeps_up: bool | None = None
    p50_ms: Estimate | None = None
    p99_ms: Estimate | None = None
    drain_seconds: Estimate | None = None
    workers_needed: Estimate | None = None
    miss_probability: float | None = None
    dead_letters: Estimate | None = None
    notes: list[str] = []


class Model(BaseModel):
    """What was fitted; written and read as JSON.

    Attributes:
        subject: whose runs they were.
        capacity: what can go through.
        rates: of the open loads that latency was fitted to, the lowest and the highest.
        paces: of scenarios with a hot id or failures that do other work: how fast it goes
            without either, to the main work.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    capacity: Capacity
    rates: tuple[float, float] | None = None
    paces: dict[str, float] = {}

    def predict(  # noqa: PLR0913 - what may be asked
        self,
        *,
        workers: int,
        per_second: float | None = None,
        events: int | None = None,
        hot_share: float = 0.0,
        failure_rate: FailureRate | float = 0.0,
        attempts: int = MAX_ATTEMPTS,
        deadline: float | None = None,
        kind: Arrivals = Arrivals.TIMED,
        work: str = MAIN,
    ) -> Prediction:
        """What to expect under these conditions.

        Args:
            workers: worker processes.
            per_second: events that come one by one; none asks for a backlog alone.
            events: of a backlog that is to be drained.
            hot_share: the share of events on the hottest id, from 0 to 1.
            failure_rate: the probability that an attempt at an event fails.
            attempts: most attempts at an event.
            deadline: seconds until the backlog has to be drained.
            kind: how single events come.
            work: one of `paces`, to predict its throughput instead of that of the main work.

        Raises:
            ValueError: one of these is out of its range.
        """
        _check(workers, per_second, events, hot_share, deadline)
        failing = failure_rate.rate if isinstance(failure_rate, FailureRate) else failure_rate
        load = Load.BULK if per_second is None else Load.OPEN
        mix = Mix(load, hot_share, failing, attempts, self.paces.get(work, 1.0))
        offered = per_second or 0.0
        capacity = self.capacity.at(workers, mix)
        drain = None if events is None else self._drain(workers, mix, events, offered)
        found = Prediction(
            capacity=capacity,
            throughput=_throughput(capacity, per_second, events, drain),
            keeps_up=None if per_second is None else capacity.value > per_second,
            drain_seconds=drain,
            workers_needed=self._workers_needed(mix, offered, events, deadline),
            miss_probability=_miss(capacity, drain, events, deadline, offered),
            dead_letters=None if events is None else dead_letters(events, failure_rate, attempts),
            notes=self._notes(workers, capacity, mix, per_second),
        )
        if per_second is None or not found.keeps_up or self.capacity.queue is None:
            return found
        asked = Offered(workers, per_second, hot_share, failing, attempts, kind)
        p50, p99 = self.capacity.queue.latency(asked)
        return found.model_copy(update={"p50_ms": p50, "p99_ms": p99})

    def _drain(self, workers: int, mix: Mix, events: int, offered: float) -> Estimate | None:
        """Seconds until a backlog is done while others come, and its last retries with it."""
        left = self.capacity.best(workers, mix) - offered
        if left <= 0:
            return None
        lefts = self.capacity.drawn(workers, mix) - offered
        with np.errstate(divide="ignore"):
            seconds = np.where(lefts > 0, events / np.maximum(lefts, 0.0), math.inf)
        rng = np.random.default_rng(SEED)
        tails = tails_of_work(events, events / left, mix.failure_rate, mix.attempts, rng)
        value = events / left + float(np.median(tails))
        return Estimate.of(value, seconds + np.resize(tails, len(seconds)))

    def _workers_needed(
        self, mix: Mix, offered: float, events: int | None, deadline: float | None
    ) -> Estimate | None:
        backlog = events / deadline if events and deadline else 0.0
        needed = offered + backlog
        return self.capacity.workers_needed(needed, mix) if needed else None

    def _notes(
        self, workers: int, capacity: Estimate, mix: Mix, per_second: float | None
    ) -> list[str]:
        notes = []
        counts = self.capacity.usl.counts
        if len(counts) == 1:
            notes.append(f"only {counts[0]} workers were measured: nothing is known of others")
        elif workers not in range(counts[0], counts[-1] + 1):
            notes.append(f"{workers} workers are outside of what was measured: {_listed(counts)}")
        if mix.hot_share and not self.capacity.hot.runs:
            notes.append("no run was held up by a hot id; its rate is taken as that of one worker")
        if per_second is None:
            return notes
        if self.capacity.queue is None:
            notes.append("no open load was fitted: nothing is known of latency")
        if per_second >= capacity.value:
            notes.append("does not keep up: the line grows, and latency with it")
        elif per_second >= capacity.low:
            notes.append("close to what can go through: it may not keep up")
        if self.rates and not self.rates[0] <= per_second <= self.rates[1]:
            low, high = self.rates
            notes.append(
                f"{per_second:g} events/s are outside of what was measured: {low:g} to {high:g}"
            )
        return notes


def fit(runs: Sequence[Run], *, jobs: int = JOBS, room: int = ROOM) -> Model:
    """A model of the runs of one subject on one machine, doing one kind of work.

    All of one result, that is: nothing in a run says on which machine it was made.

    Throughput needs runs in bulk, of some worker counts (or open loads that were too much).
    Latency needs open loads, of some rates. Runs with a hot id tell how fast it can be, and those
    with failures are only checked against.

    Args:
        runs: to fit to.
        jobs: one after the other for each event.
        room: most events of a batch.

    Raises:
        UnfitRunsError: there is nothing to fit throughput to, or the runs differ in things that
            no law tells of.
    """
    one_kind_of_work(runs)
    groups = by_conditions(run for run in runs if run.sent and run.seconds)
    besides = besides_of(groups)
    main = {one: found for one, found in groups.items() if one.plain and one.work not in besides}
    bulk = [run for one, found in main.items() if one.load is Load.BULK for run in found]
    opened = {one: found for one, found in main.items() if one.load is Load.OPEN}
    full = [run for found in opened.values() for run in found if not kept_up(run)]
    points = [(run.workers, run.per_second) for run in bulk or full]
    if not points:
        raise UnfitRunsError(
            "throughput takes runs in bulk without a hot id or failures, and there are none"
        )
    usl = fit_usl(points)
    seen = [_seen(one, kept) for one, found in opened.items() if (kept := _timed(found))]
    queue = None
    if seen:
        limits = [Full(run.workers, run.per_second) for run in full]
        queue = fit_queue(seen, limits, usl, jobs=jobs, room=room)
    paces = {work: pace for work in besides if (pace := _pace(groups, work, usl))}
    hot = [
        (one.workers, one.hot_share, run.per_second / paces.get(one.work, 1.0))
        for one, found in groups.items()
        if one.load is Load.BULK and one.hot_share and not one.failure_rate
        for run in found
    ]
    rates = [one.per_second for one in seen]
    return Model(
        subject=runs[0].subject,
        capacity=Capacity(usl=usl, queue=queue, hot=hot_rate(usl, hot)),
        rates=(min(rates), max(rates)) if rates else None,
        paces=paces,
    )


def _pace(groups: Mapping[Conditions, Sequence[Run]], work: str, usl: Usl) -> float | None:
    """How fast this work goes without a hot id and failures, to the law; None if not measured."""
    found = [
        run.per_second / usl.at(one.workers)
        for one, runs in groups.items()
        if one.work == work and one.plain and one.load is Load.BULK
        for run in runs
    ]
    return middle(found) if found else None


def _timed(runs: Sequence[Run]) -> list[Run]:
    """Repeats whose latency says how long events take; all, or none if most did not keep up."""
    kept = [run for run in runs if run.latency is not None and kept_up(run)]
    return kept if 2 * len(kept) > len(runs) else []


def _seen(one: Conditions, runs: Sequence[Run]) -> Seen:
    latencies = [run.latency for run in runs if run.latency is not None]
    lasted = [found.run.p50 for found in latencies if found.run is not None]
    return Seen(
        workers=one.workers,
        per_second=one.per_second or 0.0,
        p50=middle(found.end_to_end.p50 for found in latencies),
        p99=middle(found.end_to_end.p99 for found in latencies),
        run=middle(lasted) if lasted else None,
    )


def _throughput(
    capacity: Estimate, per_second: float | None, events: int | None, drain: Estimate | None
) -> Estimate:
    if per_second is not None:
        high = per_second if capacity.high is None else min(per_second, capacity.high)
        # A run's clock stops when its last event is done, somewhat after its timetable's end.
        value, low = min(per_second, capacity.value), min(KEPT_UP * per_second, capacity.low)
        return Estimate(value=value, low=low, high=high)
    if not events or drain is None:
        return capacity
    slowest = 0.0 if drain.high is None else events / drain.high
    return Estimate(value=events / drain.value, low=slowest, high=events / drain.low)


def _miss(
    capacity: Estimate,
    drain: Estimate | None,
    events: int | None,
    deadline: float | None,
    offered: float,
) -> float | None:
    if not events or deadline is None:
        return None
    if drain is None:
        return 1.0
    # What the last retries wait for is no work, and takes from the deadline.
    waiting = max(0.0, drain.value - events / (capacity.value - offered))
    left = deadline - waiting
    return 1.0 if left <= 0 else miss_probability(capacity, events, left, offered)


def _listed(counts: Sequence[int]) -> str:
    return ", ".join(str(count) for count in counts)


def _check(
    workers: int,
    per_second: float | None,
    events: int | None,
    hot_share: float,
    deadline: float | None,
) -> None:
    if workers < 1:
        raise ValueError(f"at least one worker is needed, not {workers}")
    if per_second is not None and per_second <= 0:
        raise ValueError(f"an open load has more than 0 events a second, not {per_second}")
    if events is not None and events < 1:
        raise ValueError(f"a backlog has at least one event, not {events}")
    if not 0 <= hot_share <= 1:
        raise ValueError(f"the share of the hottest id is from 0 to 1, not {hot_share}")
    if deadline is not None and deadline <= 0:
        raise ValueError(f"a deadline is after 0 seconds, not after {deadline}")
