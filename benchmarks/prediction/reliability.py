"""How likely things go wrong: missed deadlines, dead letters, work lost with a worker."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats

from benchmarks.estimate import Estimate, Floats, tails
from benchmarks.prediction.retrying import dead_share
from benchmarks.results import Run
from pipeline.settings import Settings

SEED: Final = 1946
DRAWS: Final = 20_000
RENEWALS: Final = 3
"""A worker renews its heartbeat so many times a lease."""

_DEFAULTS: Final = {name: field.default for name, field in Settings.model_fields.items()}


class FailureRate(BaseModel):
    """The probability that an attempt fails, as far as it is known.

    Attributes:
        failed: attempts that failed.
        tried: attempts that were made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    failed: int = Field(ge=0)
    tried: int = Field(gt=0)

    @property
    def rate(self) -> float:
        """The share that failed."""
        return self.failed / self.tried

    def estimate(self) -> Estimate:
        """The rate with its interval, by Jeffreys' prior (Brown, Cai and DasGupta, 2001)."""
        low, high = stats.beta.ppf((0.025, 0.975), self.failed + 0.5, self._succeeded + 0.5)
        return Estimate(value=self.rate, low=min(low, self.rate), high=max(high, self.rate))

    def draws(self, count: int, rng: np.random.Generator) -> Floats:
        """Rates that these attempts leave possible."""
        return np.asarray(rng.beta(self.failed + 0.5, self._succeeded + 0.5, count))

    @property
    def _succeeded(self) -> int:
        return max(0, self.tried - self.failed)


def failures_of(runs: Iterable[Run]) -> FailureRate | None:
    """The failures that runs have met, together; None where none of them counted.

    Attempts are counted by event: the first, and those after it.
    """
    counted = [
        (run.reliability.errors, run.events + (run.reliability.retries or 0))
        for run in runs
        if run.reliability.errors is not None
    ]
    tried = sum(attempts for _, attempts in counted)
    failed = sum(errors for errors, _ in counted)
    return FailureRate(failed=min(failed, tried), tried=tried) if tried else None


def dead_letters(
    events: int, failure: FailureRate | float, attempts: int, seed: int = SEED
) -> Estimate:
    """How many of the events become dead letters.

    The interval holds the chance of each event (binomial), and of a measured rate also what it
    leaves open. Attempts are taken as independent: an event that can never succeed is one whatever
    the rate.

    Args:
        events: how many.
        failure: of an attempt, known or measured.
        attempts: most of an event.
        seed: of the draws.

    Raises:
        ValueError: the rate is no probability, or there are no attempts.
    """
    if isinstance(failure, FailureRate):
        rng = np.random.default_rng(seed)
        shares = failure.draws(DRAWS, rng) ** attempts
        value = events * dead_share(failure.rate, attempts)
        low, high = tails(rng.binomial(events, shares))
    else:
        share = dead_share(failure, attempts)
        value = events * share
        low, high = stats.binom.ppf((0.025, 0.975), events, share)
    return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))


def miss_probability(
    throughput: Estimate, events: int, deadline_seconds: float, arriving: float = 0.0
) -> float:
    """The probability that a backlog is not drained by its deadline.

    Throughput is taken as log-normal with the given interval: its errors are factors.

    Args:
        throughput: events a second, of a run to come.
        events: that wait.
        deadline_seconds: from now on.
        arriving: events a second that come meanwhile.

    Raises:
        ValueError: the deadline is not in the future.
    """
    if deadline_seconds <= 0:
        raise ValueError(f"a deadline is after 0 seconds, not after {deadline_seconds}")
    if events <= 0:
        return 0.0
    needed = events / deadline_seconds + arriving
    if throughput.value <= 0 or throughput.high is None:
        return 1.0
    width = math.log(throughput.high / throughput.low) / (2 * float(stats.norm.ppf(0.975)))
    if width == 0:
        return float(needed > throughput.value)
    return float(stats.norm.cdf(math.log(needed / throughput.value) / width))


class Rescue(BaseModel):
    """What deaths of workers come to over a time.

    Attributes:
        deaths: how many workers die.
        seconds: from a death until its batch is back in its lane; low and high are its bounds.
        held_up: events that wait for such a rescue.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    deaths: Estimate
    seconds: Estimate
    held_up: Estimate


def rescues(
    deaths_per_hour: float,
    hours: float,
    workers: int,
    *,
    batch: float,
    busy: float = 1.0,
    lease_seconds: float = _DEFAULTS["lease_seconds"],
    sweep_interval: float = _DEFAULTS["sweep_interval"],
) -> Rescue:
    """How many batches lose their worker, and how long each waits.

    Deaths are a Poisson process. A dead worker's heartbeat, renewed three times a lease, expires
    between two thirds of the lease and all of it later; then the next sweep finds the batch.

    Args:
        deaths_per_hour: of one worker.
        hours: of the time in question.
        workers: how many.
        batch: events that a worker holds while it works.
        busy: the share of its time that a worker works.
        lease_seconds: of the heartbeat.
        sweep_interval: between two sweeps.

    Raises:
        ValueError: a rate or a time is negative, or the share is none.
    """
    if min(deaths_per_hour, hours, batch) < 0 or not 0 <= busy <= 1:
        raise ValueError("deaths, hours and events are not negative, and a share is from 0 to 1")
    expected = deaths_per_hour * hours * workers
    deaths = _counted(expected)
    holding = _counted(expected * busy)
    shortest = lease_seconds * (1 - 1 / RENEWALS)
    return Rescue(
        deaths=deaths,
        seconds=Estimate(
            value=(shortest + lease_seconds + sweep_interval) / 2,
            low=shortest,
            high=lease_seconds + sweep_interval,
        ),
        held_up=Estimate(
            value=holding.value * batch,
            low=holding.low * batch,
            high=(holding.high or 0.0) * batch,
        ),
    )


def _counted(expected: float) -> Estimate:
    """A count that is expected to be so large; Poisson (1837)."""
    low, high = (float(one) for one in stats.poisson.ppf((0.025, 0.975), expected))
    return Estimate(value=expected, low=min(low, expected), high=max(high, expected))
