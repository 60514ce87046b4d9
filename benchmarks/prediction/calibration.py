"""Finding the times of work from measured latencies, and predicting others from them.

What is sought are the times with which the simulated queue shows the percentiles that were
measured: the method of simulated moments (McFadden, 1989), by least squares on logarithms. All
simulations draw the same numbers, so that two of them differ by their times alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import least_squares

from benchmarks.estimate import Estimate, Floats, pooled
from benchmarks.prediction.conditions import UnfitRunsError
from benchmarks.prediction.queueing import (
    JOBS,
    ROOM,
    Arrivals,
    Service,
    arrivals,
    noise,
    simulate,
)
from benchmarks.prediction.retrying import delayed, inflation
from benchmarks.prediction.usl import Usl

SEED: Final = 1989
FITTED_EVENTS: Final = 3_000
PREDICTED_EVENTS: Final = 20_000
DRAWS: Final = 40
USUAL_SCATTER: Final = 0.1
"""Of percentiles between runs; those far out scatter more, and weigh less in the fit."""
WEIGHTS: Final = {"p50": 1.0, "p99": 0.5, "run": 0.7}
STEP: Final = 0.05
STARTS: Final = np.log([(1, 1, 1, 1), (1, 4, 1, 0.6), (0.5, 1, 1.5, 1.5)])
"""Factors of the first guess: from one alone a fit may end in a valley that is not the deepest."""
VAGUE: Final = 1.0
"""What is assumed before measuring may be off by a factor of e, or of e squared."""


class Seen(NamedTuple):
    """Measured latencies of one variant, in ms.

    Attributes:
        workers: how many.
        per_second: events offered.
        p50: the median.
        p99: the 99th percentile.
        run: the median from when the first handler began to read, where it was measured; the rest
            is what an event takes besides.
    """

    workers: int
    per_second: float
    p50: float
    p99: float
    run: float | None = None


class Full(NamedTuple):
    """A variant that did not keep up: single events as fast as they go through.

    Attributes:
        workers: how many.
        per_second: events that were done.
    """

    workers: int
    per_second: float


class Offered(NamedTuple):
    """A load to predict latencies at.

    Attributes:
        workers: how many.
        per_second: events that come.
        hot_share: the share of them on one id.
        failure_rate: the probability that an attempt fails.
        attempts: most attempts at an event.
        kind: how they come.
    """

    workers: int
    per_second: float
    hot_share: float = 0.0
    failure_rate: float = 0.0
    attempts: int = 1
    kind: Arrivals = Arrivals.TIMED

    @property
    def inflation(self) -> float:
        """Attempts an event."""
        return inflation(self.failure_rate, self.attempts)


class Queue(BaseModel):
    """A fitted queue.

    Attributes:
        service: the times of work.
        draws: logarithms of other times that fit as well: job, event, base, spread.
        scatter_p50: by how much single runs lie off, as a logarithm.
        scatter_p99: the same of the 99th percentile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: Service
    draws: tuple[tuple[float, float, float, float], ...]
    scatter_p50: float
    scatter_p99: float

    def services(self) -> list[Service]:
        """The other times that fit as well."""
        return [_service(draw, self.service) for draw in self.draws]

    def latency(self, offered: Offered) -> tuple[Estimate, Estimate]:
        """The median and the 99th percentile, in ms, of a run at a load that is kept up with."""
        best = percentiles_at(self.service, offered, PREDICTED_EVENTS)
        # The draws are held against the best fit by the same few events, which cancel out.
        base = percentiles_at(self.service, offered, FITTED_EVENTS)
        found = [
            percentiles_at(one, offered, FITTED_EVENTS)
            if one.capacity(offered.workers) > offered.per_second * offered.inflation
            else (math.inf, math.inf)
            for one in self.services()
        ]
        luck = np.random.default_rng(SEED).standard_normal((len(found), 2))
        luck *= (self.scatter_p50, self.scatter_p99)
        spread = np.array(best) * np.array(found) / np.array(base) * np.exp(luck)
        return Estimate.of(best[0], spread[:, 0]), Estimate.of(best[1], spread[:, 1])


def percentiles_at(service: Service, offered: Offered, count: int) -> tuple[float, float]:
    """The median and the 99th percentile, in ms, of so many simulated events."""
    latencies = _simulated(service, offered, count)[1]
    if offered.failure_rate:
        rng = np.random.default_rng(SEED)
        latencies = delayed(latencies, offered.failure_rate, offered.attempts, rng)
    if not len(latencies):
        return math.inf, math.inf
    p50, p99 = np.percentile(latencies, (50, 99))
    return float(p50), float(p99)


def fit_queue(
    seen: Sequence[Seen],
    full: Sequence[Full] = (),
    usl: Usl | None = None,
    *,
    jobs: int = JOBS,
    room: int = ROOM,
) -> Queue:
    """The times of work with which the queue shows what was measured.

    Where loads are all light, nothing tells a job's time from the time outside of workers, or an
    event's share of a job from the job; then vague assumptions hold, and intervals are wide.

    Args:
        seen: latencies of loads that were kept up with, one of each variant.
        full: loads that were not.
        usl: the law of scaling; its contention slows down workers, and its rate says what an
            event costs in large batches.
        jobs: one after the other for each event.
        room: most events of a batch.

    Raises:
        UnfitRunsError: no load was kept up with.
    """
    if not seen:
        raise UnfitRunsError("latency takes runs of an open load that was kept up with")
    fixed = Service(
        job_ms=1,
        event_ms=0,
        jobs=jobs,
        room=room,
        contention=usl.contention if usl else 0.0,
        coherence=usl.coherence if usl else 0.0,
    )
    guess = _guess(seen, fixed, usl)

    def off(found: Floats) -> Floats:
        service = _service(tuple(found), fixed)
        return np.array([*_misfits(service, seen, full), *((found - guess) / VAGUE * 0.1)])

    def slopes(found: Floats) -> Floats:
        # Percentiles of a simulation have small steps, which a smaller difference would show.
        here = off(found)
        return np.column_stack([(off(found + step) - here) / STEP for step in STEP * np.eye(4)])

    fits = []
    for start in STARTS:
        fits.append(least_squares(off, guess + start, slopes, ftol=1e-4, xtol=1e-3, max_nfev=25))
        # As close as runs are to each other: nothing closer can be asked for.
        if 2 * fits[-1].cost <= USUAL_SCATTER**2 * len(fits[-1].fun):
            break
    best = min(fits, key=lambda one: float(one.cost))
    service = _service(tuple(best.x), fixed)
    fitted = [percentiles_at(service, _offered(one), FITTED_EVENTS) for one in seen]
    off_p50 = [math.log(one.p50 / p50) for one, (p50, _) in zip(seen, fitted, strict=True)]
    off_p99 = [math.log(one.p99 / p99) for one, (_, p99) in zip(seen, fitted, strict=True)]
    # Four times are fitted to two kinds of percentiles.
    scatter = pooled(off_p50, 2, USUAL_SCATTER)
    return Queue(
        service=service,
        draws=_draws(best.x, best.jac, scatter),
        scatter_p50=scatter,
        scatter_p99=pooled(off_p99, 2, 2 * USUAL_SCATTER),
    )


def _draws(
    best: Floats, slopes: Floats, scatter: float
) -> tuple[tuple[float, float, float, float], ...]:
    """Times around the best ones, as far off as the measurements and the assumptions allow."""
    # Residuals are in units of 1 / weight, the assumptions' in units of 0.1 / VAGUE: the latter
    # make the matrix regular whatever was measured.
    scaled = slopes.copy()
    scaled[:-4] /= scatter
    scaled[-4:] /= 0.1
    covariance = np.linalg.inv(scaled.T @ scaled)
    rng = np.random.default_rng(SEED)
    drawn = rng.multivariate_normal(best, covariance, size=DRAWS)
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in drawn)


def _guess(seen: Sequence[Seen], fixed: Service, usl: Usl | None) -> Floats:
    """Where to begin, and what is held where measurements say nothing."""
    lightest = min(seen, key=lambda one: (one.per_second, one.workers))
    working = lightest.run or 0.7 * lightest.p50
    job = working / fixed.jobs
    base = max(lightest.p50 - working, 0.1 * lightest.p50)
    event = 0.05 * job
    if usl is not None:
        # Bulk jobs carry full batches, of whose time the job's own is a small part.
        full = 1000 / (usl.rate * fixed.jobs)
        event = max(full - job / fixed.room, 0.1 * full)
    return np.log([job, event, base, 0.5])


def _misfits(service: Service, seen: Sequence[Seen], full: Sequence[Full]) -> list[float]:
    found = []
    for one in seen:
        wait, total = _simulated(service, _offered(one), FITTED_EVENTS)
        p50, p99 = np.percentile(total, (50, 99))
        found.append(WEIGHTS["p50"] * math.log(p50 / one.p50))
        found.append(WEIGHTS["p99"] * math.log(p99 / one.p99))
        if one.run:
            found.append(WEIGHTS["run"] * math.log(float(np.median(total - wait)) / one.run))
    return found + [math.log(service.capacity(one.workers) / one.per_second) for one in full]


def _offered(one: Seen) -> Offered:
    return Offered(one.workers, one.per_second)


def _simulated(service: Service, offered: Offered, count: int) -> tuple[Floats, Floats]:
    """Waits and latencies of attempts that succeed; others only add to the load."""
    rng = np.random.default_rng(SEED)
    times = arrivals(count, offered.per_second * offered.inflation, offered.kind, rng)
    factors = noise(service, count * service.jobs + 1, rng)
    hot = (rng.random(count) < offered.hot_share).tolist() if offered.hot_share else None
    found = simulate(service, offered.workers, times, factors, hot)
    return found.wait, found.total


def _service(logs: Sequence[float], like: Service) -> Service:
    # Bounds keep a step of the fit that goes astray from asking for infinite times.
    job, event, base, spread = (math.exp(min(max(one, -14.0), 14.0)) for one in logs)
    times = {"job_ms": job, "event_ms": event, "base_ms": base, "spread": min(spread, 5.0)}
    return like.model_copy(update=times)
