"""Counting what is submitted."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import ManualClock
from pipeline.errors import Overloaded, Unavailable
from pipeline.metrics import Counts
from pipeline.metrics.catalogue import SOURCE_LAG
from pipeline.metrics.counts import SEPARATOR
from pipeline.metrics.submissions import Submissions
from tests.facts import fact

NOW = datetime(2024, 6, 1, tzinfo=UTC)
EDGES = [int(edge * 1000) for edge in SOURCE_LAG.edges]


def added(counts: Counts) -> dict[tuple[str, ...], float]:
    """What was counted, by the parts of each field."""
    return {tuple(field.split(SEPARATOR)): n for field, n in counts.take().added.items()}


@given(st.lists(st.one_of(st.integers(0, 10**8), st.sampled_from(EDGES)), max_size=30))
def test_each_lag_is_in_the_bucket_up_to_whose_edge_it_is(lags: list[int]) -> None:
    """In milliseconds; held against every edge one by one, those at an edge among them."""
    counts = Counts()
    submissions = Submissions(counts, ManualClock(NOW), [])
    events = [fact(f"e{n}") for n in range(len(lags))]
    events = [
        event.model_copy(update={"occurred_at": NOW - timedelta(milliseconds=lag)})
        for event, lag in zip(events, lags, strict=True)
    ]
    submissions.accepted(events, NOW)
    told = {key[1]: n for key, n in added(counts).items() if key[0] == SOURCE_LAG.name}
    for bucket, edge in enumerate(EDGES):
        below = sum(told.get(str(one), 0) for one in range(bucket + 1))
        assert below == sum(lag <= edge for lag in lags)
    assert told.get("s", 0) == pytest.approx(sum(lags) / 1000)


def test_a_clock_that_is_ahead_makes_no_time_negative() -> None:
    """A sum that falls would look like a restart."""
    counts = Counts()
    event = fact("e1").model_copy(update={"occurred_at": NOW + timedelta(hours=1)})
    Submissions(counts, ManualClock(NOW), []).accepted([event], NOW)
    told = added(counts)
    assert told[SOURCE_LAG.name, "0"] == 1
    assert told.get((SOURCE_LAG.name, "s"), 0) == 0


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (None, "stored"),
        (Overloaded("later", retry_after=1.0), "overloaded"),
        (Unavailable("away"), "unavailable"),
    ],
)
def test_a_call_is_counted_by_how_it_ends(raised: Exception | None, outcome: str) -> None:
    """With the time that it took."""
    counts, clock = Counts(), ManualClock(NOW)

    def call() -> None:
        with Submissions(counts, clock, []).call():
            clock.advance(timedelta(seconds=2))
            if raised is not None:
                raise raised

    if raised is None:
        call()
    else:
        with pytest.raises(type(raised)):
            call()
    told = added(counts)
    assert told["pipe_intake_submissions", outcome] == 1
    assert told["pipe_intake_duration_seconds", "s"] == pytest.approx(2)
