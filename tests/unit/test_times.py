"""Moments as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.cli.times import in_words, moment_of

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("5m", NOW - timedelta(minutes=5)),
        ("2h", NOW - timedelta(hours=2)),
        (" 3d ago ", NOW - timedelta(days=3)),
        ("1w", NOW - timedelta(weeks=1)),
        ("0d", NOW),
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-05-01 10:30", datetime(2024, 5, 1, 10, 30, tzinfo=UTC)),
        ("2024-05-01T10:30:00Z", datetime(2024, 5, 1, 10, 30, tzinfo=UTC)),
        ("2024-05-01T10:30:00+02:00", datetime(2024, 5, 1, 8, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_time_or_so_long_ago(text: str, expected: datetime) -> None:
    """UTC where no offset is named."""
    found = moment_of(text, NOW)
    assert found == expected
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text", ["", "h", "2", "2y", "-2h", "2.5h", "yesterday", "999999w", "²h", "2024-13-01"]
)
def test_what_is_no_moment_is_told_how_to_write_one(text: str) -> None:
    """Also one before the first year there is."""
    with pytest.raises(ValueError, match="is no moment; write 90m, 2h or 3d"):
        moment_of(text, NOW)


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (0, "0 s"),
        (250, "0.25 s"),
        (59_999, "59.999 s"),
        (60_000, "1 min"),
        (90_500, "1 min 30 s"),
        (3_600_000, "1 h"),
        (3_605_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (1_500 * 86_400_000 + 3_600_000, "1,500 d 1 h"),
    ],
)
def test_a_duration_is_told_by_its_two_greatest_units(milliseconds: int, expected: str) -> None:
    """A person has no use for the seconds of a day."""
    assert in_words(milliseconds) == expected
