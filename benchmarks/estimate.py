"""A figure and how sure it is: a value with the interval that most likely holds it."""

from __future__ import annotations

import math
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats

CONFIDENCE: Final = 0.95
Floats = NDArray[np.float64]


class Estimate(BaseModel):
    """A value, and a 95 % interval around it.

    Attributes:
        value: the single best figure.
        low: the interval's lower end.
        high: its upper end; None where there is none, as for a backlog that may never be drained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float | None

    @classmethod
    def of(cls, value: float, draws: ArrayLike) -> Self:
        """The value, with the middle 95 % of the draws; the interval always holds the value."""
        low, high = tails(draws)
        upper = max(value, high)
        return cls(value=value, low=min(value, low), high=upper if math.isfinite(upper) else None)

    def holds(self, value: float) -> bool:
        """Whether a value lies in the interval."""
        return self.low <= value and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        high = "no limit" if self.high is None else f"{self.high:,.4g}"
        return f"{self.value:,.4g} ({self.low:,.4g} to {high})"


def tails(draws: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The ends of the middle part of the draws; draws may be infinite."""
    ranked = np.sort(np.asarray(draws, dtype=float))
    outside = (1 - confidence) / 2
    # Between two infinite draws nothing can be interpolated, so ranks are taken as they are.
    last = len(ranked) - 1
    return float(ranked[math.floor(outside * last)]), float(
        ranked[math.ceil(last - outside * last)]
    )


def pooled(residuals: ArrayLike, parameters: int, assumed: float, worth: float = 2.0) -> float:
    """The scatter of single runs around a law, on the scale of logarithms.

    With three or four runs their own scatter says little, and with as many runs as parameters
    nothing at all. So what is usual is counted in like some more residuals, and the result is
    widened as Student's t is (Student, 1908).

    Args:
        residuals: logarithms of measured to fitted.
        parameters: that were fitted to them.
        assumed: the usual scatter, such as 0.05 for 5 %.
        worth: so many residuals that assumption counts for.
    """
    found = np.asarray(residuals, dtype=float)
    freedom = max(0.0, len(found) - parameters)
    # What parameters were fitted to is closer to them than runs to come will be.
    squares = float(np.sum(found**2)) if freedom else 0.0
    scatter = math.sqrt((squares + worth * assumed**2) / (freedom + worth))
    return scatter * float(stats.t.ppf(0.975, freedom + worth) / stats.norm.ppf(0.975))
