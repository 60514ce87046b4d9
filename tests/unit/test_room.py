"""How much of a transaction's room submitted events take."""

import pytest

from pipeline.dispatch import BATCH_BYTES, share_of
from tests.facts import fact


@pytest.mark.parametrize(
    ("count", "size", "share"),
    [(1, 10, 0.002), (500, 10, 1.0), (1, BATCH_BYTES // 4, 0.25), (100, BATCH_BYTES // 100, 1.0)],
)
def test_events_take_room_by_their_number_or_their_bytes(
    count: int, size: int, share: float
) -> None:
    """Whichever is more, of 500 events or 16 MiB."""
    part = [(fact(f"e{n}"), b"x" * size) for n in range(count)]
    assert share_of(part, 500) == pytest.approx(share, abs=1e-6)
