"""How long to wait before another attempt: exponential, capped, with full jitter.

Full jitter (a uniform draw from zero to the exponential bound) spreads retries best; see
Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits of one handler.

    Attributes:
        base_seconds: the bound after the first failed attempt; it doubles with each one.
        cap_seconds: the bound never grows beyond this.

    Raises:
        ValueError: not 0 < base <= cap <= a day.
    """

    base_seconds: float = 2.0
    cap_seconds: float = 600.0

    def __post_init__(self) -> None:
        if not 0 < self.base_seconds <= self.cap_seconds <= timedelta(days=1).total_seconds():
            raise ValueError(
                f"a backoff takes 0 < base_seconds <= cap_seconds <= 86400, "
                f"not {self.base_seconds} and {self.cap_seconds}"
            )

    def bound(self, attempt: int) -> float:
        """The longest wait, in seconds, after this many failed attempts (from 1)."""
        # Beyond 2**64 the cap has long been reached, and floats overflow some time later.
        return min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 64))

    def delay(self, attempt: int, draw: random.Random | None = None) -> timedelta:
        """A wait after this many failed attempts, drawn from zero to `bound(attempt)`."""
        uniform = draw.random() if draw else random.random()  # noqa: S311 - spread, not secrecy
        return timedelta(seconds=self.bound(attempt) * uniform)
