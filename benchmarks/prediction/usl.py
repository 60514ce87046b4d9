"""How throughput grows with workers: the Universal Scalability Law.

    X(n) = lambda n / (1 + sigma (n - 1) + kappa n (n - 1))

Gunther, "A Simple Capacity Model of Massively Parallel Transaction Systems", CMG 1993, and
"Guerrilla Capacity Planning", Springer 2007. Sigma is the share of work that only one can do at a
time, and kappa what each pair of workers costs. Without kappa it is Amdahl's law (1967).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict
from scipy.optimize import least_squares

from benchmarks.estimate import Estimate, Floats, pooled
from benchmarks.prediction.conditions import UnfitRunsError

SEED: Final = 1993
DRAWS: Final = 200
FOR_KAPPA: Final = 4
"""Three numbers can be made to go through three points whatever these are."""
USUAL_SCATTER: Final = 0.05
MOST_WORKERS: Final = 256
START: Final = (0.05, 0.001)

Curve = tuple[float, float, float]
Point = tuple[int, float]


class Usl(BaseModel):
    """A fitted law.

    Attributes:
        rate: lambda, what one worker does, in events a second.
        contention: sigma, from 0 to 1.
        coherence: kappa, from 0 to 1; 0 where there were too few worker counts to tell.
        scatter: by how much single runs lie off, as a logarithm.
        counts: the worker counts it was fitted to.
        draws: other laws that fit as well, of which intervals are made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float
    contention: float
    coherence: float
    scatter: float
    counts: tuple[int, ...]
    draws: tuple[Curve, ...]

    def at(self, workers: int) -> float:
        """Events a second of so many workers."""
        return float(_law(np.array(workers), self.rate, self.contention, self.coherence))

    def drawn(self, workers: int) -> Floats:
        """The same by each of the other laws, with the scatter of a single run."""
        curves = np.array(self.draws)
        found = _law(np.array(workers), *curves.T)
        # Each draw keeps its own luck at every count, so what follows is monotone in workers.
        luck = np.random.default_rng(SEED).standard_normal(len(curves))
        return np.asarray(found * np.exp(self.scatter * luck))

    def predict(self, workers: int) -> Estimate:
        """Events a second of a run with so many workers."""
        return Estimate.of(self.at(workers), self.drawn(workers))

    def peak(self) -> int | None:
        """The number of workers beyond which more are slower; None where there is none."""
        if self.coherence == 0:
            return None
        best = math.sqrt(max(0.0, 1 - self.contention) / self.coherence)
        if best > MOST_WORKERS:
            return None
        around = (max(1, math.floor(best)), max(1, math.ceil(best)))
        return max(around, key=self.at)


def fit_usl(points: Sequence[Point], seed: int = SEED) -> Usl:
    """The law that fits throughputs best, by their logarithms, so all weigh alike.

    With one worker count nothing is known about contention, so it is taken as none, and the
    interval reaches down to no gain at all. Below four counts kappa stays out, unless throughput
    falls somewhere, which can't be told without it.

    Args:
        points: workers and events a second, one of each run.
        seed: of the bootstrap.

    Raises:
        UnfitRunsError: there is no point, or one that is not positive.
    """
    if not points or min(n for n, _ in points) < 1 or min(x for _, x in points) <= 0:
        raise UnfitRunsError("the law of scaling takes runs with workers and with a throughput")
    counts = tuple(sorted({n for n, _ in points}))
    free = _free(points, counts)
    workers = np.array([n for n, _ in points])
    logs = np.log([x for _, x in points])
    best = _fitted(workers, logs, free)
    fitted = np.log(_law(workers, *best))
    scatter = pooled(logs - fitted, free, USUAL_SCATTER)
    rng = np.random.default_rng(seed)
    draws = [
        _fitted(workers, fitted + scatter * rng.standard_normal(len(points)), free, best)
        for _ in range(DRAWS)
    ]
    if len(counts) == 1:
        draws = [_turned(curve, counts[0], rng.random()) for curve in draws]
    return Usl(
        rate=best[0],
        contention=best[1],
        coherence=best[2],
        scatter=scatter,
        counts=counts,
        draws=tuple(draws),
    )


def _free(points: Sequence[Point], counts: Sequence[int]) -> int:
    """How many of the three numbers these points can tell."""
    middles = [median(x for n, x in points if n == count) for count in counts]
    falls = any(later < earlier for earlier, later in pairwise(middles))
    if len(counts) >= FOR_KAPPA or (falls and len(counts) == FOR_KAPPA - 1):
        return 3
    return min(2, len(counts))


def _fitted(workers: Floats, logs: Floats, free: int, start: Curve | None = None) -> Curve:
    def spelled(found: ArrayLike) -> Curve:
        numbers = [float(one) for one in np.asarray(found)] + [0.0, 0.0]
        return math.exp(numbers[0]), numbers[1], numbers[2]

    def off(found: ArrayLike) -> Floats:
        return np.log(_law(workers, *spelled(found))) - logs

    def slopes(found: ArrayLike) -> Floats:
        _, contention, coherence = spelled(found)
        others = workers - 1
        slowed = 1 + contention * others + coherence * workers * others
        columns = [np.ones(len(workers)), -others / slowed, -workers * others / slowed]
        return np.column_stack(columns[:free])

    first = start or (math.exp(float(np.median(logs - np.log(workers)))), *START)
    lower = [-np.inf, 0.0, 0.0][:free]
    upper = [np.inf, 1.0, 1.0][:free]
    begin = [math.log(first[0]), min(max(first[1], 1e-4), 0.99), min(max(first[2], 1e-6), 0.99)]
    found = least_squares(
        off, begin[:free], slopes, bounds=(lower, upper), x_scale=[1, 0.1, 0.01][:free]
    )
    return spelled(found.x)


def _turned(curve: Curve, count: int, contention: float) -> Curve:
    """A law through the same throughput at this count, with another contention."""
    return curve[0] * (1 + contention * (count - 1)), contention, 0.0


def _law(workers: Floats, rate: ArrayLike, contention: ArrayLike, coherence: ArrayLike) -> Floats:
    others = workers - 1
    slowed = 1 + np.multiply(contention, others) + np.multiply(coherence, workers * others)
    return np.asarray(np.multiply(rate, workers) / slowed)
