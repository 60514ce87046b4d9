"""How long to wait before another attempt: exponential, capped, with full jitter.

Full jitter (a uniform draw from zero to the exponential bound) spreads retries best; see
Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Final

BASE_SECONDS: Final = 2.0
CAP_SECONDS: Final = 600.0


def bound(attempt: int) -> float:
    """The longest wait, in seconds, after this many failed attempts (from 1)."""
    return min(CAP_SECONDS, BASE_SECONDS * 2.0 ** (attempt - 1))


def delay(attempt: int, draw: random.Random | None = None) -> timedelta:
    """A wait after this many failed attempts, drawn from zero to `bound(attempt)`."""
    uniform = draw.random() if draw else random.random()  # noqa: S311 - spread, not secrecy
    return timedelta(seconds=bound(attempt) * uniform)
