"""How long to wait before another attempt."""

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.backoff import Backoff

BACKOFF = Backoff()


def test_the_bound_doubles_up_to_a_cap() -> None:
    """2, 4, 8 seconds and so on, never above the cap."""
    assert [BACKOFF.bound(n) for n in (1, 2, 3)] == [2, 4, 8]
    assert BACKOFF.bound(5000) == 600


@given(st.integers(1, 200), st.integers())
def test_a_wait_is_anywhere_from_zero_to_the_bound(attempt: int, seed: int) -> None:
    """Full jitter: it never exceeds the bound."""
    wait = BACKOFF.delay(attempt, random.Random(seed))
    assert 0 <= wait.total_seconds() <= BACKOFF.bound(attempt)


def test_waits_spread_over_the_whole_range() -> None:
    """Two workers that fail together do not come back together."""
    draw = random.Random(1)
    waits = [BACKOFF.delay(4, draw).total_seconds() / BACKOFF.bound(4) for _ in range(200)]
    assert min(waits) < 0.1
    assert max(waits) > 0.9
