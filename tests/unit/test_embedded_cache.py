"""How much memory the embedded MongoDB takes for its cache."""

import pytest

from workers.embedded.mongod import GIBIBYTE, cache_for


@pytest.mark.parametrize(
    ("memory_gib", "cache_gib"), [(1, 0.25), (6, 1.0), (12, 2.0), (24, 4.0), (256, 4.0)]
)
def test_the_cache_is_a_sixth_of_memory_within_bounds(memory_gib: int, cache_gib: float) -> None:
    """No less than MongoDB takes, and no more than leaves room for workers and others."""
    assert cache_for(memory_gib * GIBIBYTE) == cache_gib
