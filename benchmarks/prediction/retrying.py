"""What failures cost: more work an event, later results, and dead letters.

With independent attempts that fail with probability p, at most m of them, the number of attempts
is a truncated geometric variable (Feller, "An Introduction to Probability Theory", 1950):
1 + p + ... + p^(m-1) on average. An event whose attempts all fail is a dead letter.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from benchmarks.estimate import Estimate, Floats
from pipeline.backoff import Backoff

DEFAULT: Final = Backoff()
TAILS: Final = 40
NORMAL: Final = 1.96
"""So many standard deviations to either side hold 95 of 100."""


def inflation(failure_rate: float, attempts: int) -> float:
    """How many attempts an event takes on average, (1 - p^m) / (1 - p).

    Raises:
        ValueError: the rate is no probability, or there are no attempts.
    """
    _check(failure_rate, attempts)
    return float(sum(failure_rate**failed for failed in range(attempts)))


def attempts_an_event(failure_rate: float, attempts: int, events: int) -> Estimate:
    """How many attempts an event takes on average of so many events, with its interval.

    Raises:
        ValueError: as of `inflation`, or there are no events.
    """
    if events < 1:
        raise ValueError(f"an average takes at least one event, not {events}")
    value = inflation(failure_rate, attempts)
    # More than j attempts are made with probability p^j, so squares are on average:
    squares = sum((2 * failed + 1) * failure_rate**failed for failed in range(attempts))
    half = NORMAL * math.sqrt(max(0.0, squares - value**2) / events)
    return Estimate(value=value, low=value - half, high=value + half)


def dead_share(failure_rate: float, attempts: int) -> float:
    """The share of events whose attempts all fail, p^m.

    Raises:
        ValueError: as of `inflation`.
    """
    _check(failure_rate, attempts)
    return float(failure_rate**attempts)


def delayed(
    latencies: Floats,
    failure_rate: float,
    attempts: int,
    rng: np.random.Generator,
    backoff: Backoff = DEFAULT,
) -> Floats:
    """Latencies with failures: every failed attempt adds its backoff and another way through.

    Dead letters have no latency and are left out.

    Args:
        latencies: in ms, of attempts that succeed.
        failure_rate: of an attempt.
        attempts: most of an event.
        rng: draws failures and waits.
        backoff: the handler's.
    """
    _check(failure_rate, attempts)
    total = latencies.copy()
    waiting = np.ones(len(total), dtype=bool)
    for attempt in range(1, attempts + 1):
        waiting &= rng.random(len(total)) < failure_rate
        if attempt < attempts:
            again = int(waiting.sum())
            waits = rng.random(again) * backoff.bound(attempt) * 1000
            total[waiting] += waits + rng.choice(latencies, again)
    return np.asarray(total[~waiting])


def tails_of_work(
    events: int,
    seconds: float,
    failure_rate: float,
    attempts: int,
    rng: np.random.Generator,
    backoff: Backoff = DEFAULT,
    *,
    times: int = TAILS,
) -> Floats:
    """For how many seconds the last events wait for their next attempts, after all else is done.

    Args:
        events: of the backlog.
        seconds: that its work takes.
        failure_rate: of an attempt.
        attempts: most of an event.
        rng: draws failures and waits.
        backoff: the handler's.
        times: so many answers are drawn.
    """
    _check(failure_rate, attempts)
    found = np.zeros(times)
    for number in range(times):
        failing = rng.binomial(events, failure_rate)
        ended = rng.random(failing) * seconds
        # After its last attempt an event waits no more.
        for attempt in range(1, attempts):
            ended += rng.random(len(ended)) * backoff.bound(attempt)
            found[number] = max(found[number], ended.max(initial=seconds) - seconds)
            ended = ended[rng.random(len(ended)) < failure_rate]
    return found


def _check(failure_rate: float, attempts: int) -> None:
    if not 0 <= failure_rate <= 1 or attempts < 1:
        raise ValueError(
            f"a failure rate is from 0 to 1 and attempts are at least 1, "
            f"not {failure_rate} and {attempts}"
        )
