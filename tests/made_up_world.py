"""Runs in a world whose laws are known: scaling by Gunther's, latencies of a simulated queue."""

import math
from typing import Any

import numpy as np

from benchmarks.prediction.queueing import Arrivals, Service, arrivals, simulate
from benchmarks.results import Latency, Percentiles, Reliability, Run
from tests.made_up_results import at_rate, run

CONTENTION, COHERENCE, ONE = 0.15, 0.01, 3000.0
HOT = 2500.0
"""Events of one id a second in the world that is measured here."""
TRUTH = Service(
    job_ms=12, event_ms=0.15, base_ms=15, jobs=2, contention=CONTENTION, coherence=COHERENCE
)


def bulk(workers: int, repeat: int, *, hot_share: float = 0.0, **variant: Any) -> Run:
    """A run in a world that scales by Gunther's law, with a hot id, and noise of 5 %."""
    rng = np.random.default_rng([workers, repeat, int(100 * hot_share)])
    others = workers - 1
    rate = ONE * workers / (1 + CONTENTION * others + COHERENCE * workers * others)
    if hot_share:
        rate = min(rate, HOT / hot_share)
        variant["hot_share"] = hot_share
    rate *= math.exp(0.05 * rng.standard_normal())
    return run(
        rate,
        sent=20_000,
        scenario="throughput",
        variant={"workers": workers, **variant},
        repeat=repeat,
        workers=workers,
    )


def failing(rate: float, repeat: int, events: int = 20_000) -> Run:
    """A run of two workers whose attempts fail; five are made, and each costs as much as the first.

    Work without failures goes a tenth faster than the world's other work. Waiting for the last
    attempts takes no time here.
    """
    rng = np.random.default_rng([repeat, int(1000 * rate)])
    left, retries, errors = events, 0, 0
    for number in range(5):
        failed = int(rng.binomial(left, rate))
        errors += failed
        retries += failed if number < 4 else 0
        left = failed
    like = bulk(2, repeat)
    seconds = like.seconds / like.sent * (events + retries) / 1.1
    return like.model_copy(
        update={
            "scenario": "failures",
            "variant": {"failure_rate": rate},
            "seconds": seconds,
            "events": events,
            "sent": events,
            "reliability": Reliability(errors=errors, retries=retries, dead=left),
        }
    )


def opened(workers: int, rate: float, repeat: int = 1, *, split: bool = False) -> Run:
    """A run of 20 seconds whose jobs scatter by a gamma distribution, not the model's."""
    rng = np.random.default_rng([workers, int(rate), repeat])
    count = int(20 * rate)
    slow = math.exp(0.08 * rng.standard_normal())
    factors = slow * rng.gamma(2, 1 / 2, 2 * count + 1)
    times = arrivals(count, rate, Arrivals.TIMED, rng)
    found = simulate(TRUTH, workers, times, factors)
    return at_rate(
        rate,
        scenario="latency",
        variant={"workers": workers, "per_second": rate},
        repeat=repeat,
        workers=workers,
        seconds=float((times + found.total).max() / 1000),
        events=count,
        sent=count,
        latency=Latency(
            wait=percentiles(found.wait) if split else None,
            run=percentiles(found.run) if split else None,
            end_to_end=percentiles(found.total),
        ),
    )


def percentiles(values: np.ndarray) -> Percentiles:
    """As a run keeps them."""
    names = ("p50", "p90", "p95", "p99", "p999")
    shares = dict(zip(names, np.percentile(values, (50, 90, 95, 99, 99.9)), strict=True))
    return Percentiles(count=len(values), mean=values.mean(), max=values.max(), **shares)
