"""How many events a second can go through: the least of several limits.

All workers together have the law of scaling. Single events, whose jobs are as many as they are,
have the queue's own limit. Events of one id are done batch after batch under its lease: if a share
h of all events is on it and R of them go through a second, all together can't be more than R / h.
And every attempt that fails takes away from what is left for others.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from benchmarks.estimate import Estimate, Floats
from benchmarks.prediction.calibration import Queue
from benchmarks.prediction.retrying import inflation
from benchmarks.prediction.usl import MOST_WORKERS, Usl
from benchmarks.results import Load

LEAST_SHARE: Final = 1e-6
"""No id with a smaller share of the events can hold anything up."""
BINDING: Final = 0.85
"""A run with a hot id that is below this share of the law's throughput was held up by the id."""


class Mix(NamedTuple):
    """What comes.

    Attributes:
        load: in bulk, or one by one.
        hot_share: the share of events on the hottest id.
        failure_rate: the probability that an attempt fails.
        attempts: most attempts at an event.
        pace: how fast the work is, to that of the law.
    """

    load: Load = Load.BULK
    hot_share: float = 0.0
    failure_rate: float = 0.0
    attempts: int = 1
    pace: float = 1.0

    @property
    def inflation(self) -> float:
        """Attempts an event."""
        return inflation(self.failure_rate, self.attempts)


class HotRate(BaseModel):
    """How fast the events of one id go through.

    Attributes:
        rate: events of one id a second; None takes the rate of one worker, since only one at a
            time can hold the id.
        runs: with a hot id it was found in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float | None = None
    runs: int = 0


class Capacity(BaseModel):
    """The limits together.

    Attributes:
        usl: the law of scaling.
        queue: of single events, where it was measured.
        hot: of one id.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    usl: Usl
    queue: Queue | None = None
    hot: HotRate = HotRate()

    def at(self, workers: int, mix: Mix) -> Estimate:
        """Most events a second of a run with so many workers."""
        return Estimate.of(self.best(workers, mix), self.drawn(workers, mix))

    def best(self, workers: int, mix: Mix) -> float:
        """The same without an interval."""
        limits = [self.usl.at(workers)]
        if mix.load is Load.OPEN and self.queue is not None:
            limits.append(self.queue.service.capacity(workers))
        if mix.hot_share:
            limits.append((self.hot.rate or self.usl.at(1)) / max(mix.hot_share, LEAST_SHARE))
        return min(limits) * mix.pace / mix.inflation

    def drawn(self, workers: int, mix: Mix) -> Floats:
        """The same by each of the other laws that fit as well."""
        limit = self.usl.drawn(workers)
        if mix.load is Load.OPEN and self.queue is not None:
            singles = [one.capacity(workers) for one in self.queue.services()]
            limit = np.minimum(limit, np.resize(singles, len(limit)))
        if mix.hot_share:
            luck = self.usl.drawn(1)
            hot = luck if self.hot.rate is None else luck * (self.hot.rate / self.usl.at(1))
            limit = np.minimum(limit, hot / max(mix.hot_share, LEAST_SHARE))
        return np.asarray(limit * (mix.pace / mix.inflation))

    def workers_needed(self, per_second: float, mix: Mix) -> Estimate | None:
        """The fewest workers that do so many events a second; None if no number of them does."""
        counts = range(1, MOST_WORKERS + 1)
        enough = [n for n in counts if self.best(n, mix) >= per_second]
        if not enough:
            return None
        able = np.array([self.drawn(n, mix) >= per_second for n in counts])
        fewest = np.where(able.any(axis=0), able.argmax(axis=0) + 1.0, math.inf)
        return Estimate.of(enough[0], fewest)


def hot_rate(usl: Usl, measured: list[tuple[int, float, float]]) -> HotRate:
    """How fast one id's events go through, from runs with a hot id.

    A run whose throughput is about that of the law was not held up, and says only that the rate
    is no less than what went through.

    Args:
        usl: the law, of runs without one.
        measured: workers, share of events on the id, events a second at the law's pace.
    """
    if not measured:
        return HotRate()
    seen = [(share * rate, rate < BINDING * usl.at(n)) for n, share, rate in measured]
    held = [rate for rate, was_held in seen if was_held]
    rate = float(np.median(held)) if held else max(usl.at(1), *(one for one, _ in seen))
    return HotRate(rate=rate, runs=len(held))
