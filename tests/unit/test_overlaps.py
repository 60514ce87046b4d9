"""When two runs are said to have held one document at the same time."""

from datetime import UTC, datetime, timedelta

from workers.chaos.verdict import Hold, Wipe, overlaps

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds past noon."""
    return NOON + timedelta(seconds=seconds)


ONE = ("T1", Hold(1, at(0), at(4), "one"))


def test_holds_that_follow_each_other_are_right() -> None:
    """As are those of other documents, and of one run that took its lease anew."""
    after = ("T1", Hold(2, at(4), at(5), "two"))
    beside = ("T2", Hold(2, at(1), at(5), "two"))
    anew = ("T1", Hold(2, at(1), at(3), "one"))
    assert overlaps([ONE, after, beside]) == []
    assert overlaps([ONE, anew]) == []


def test_batches_that_are_run_together_hold_together() -> None:
    """They are two jobs and one run, which has one fence."""
    assert overlaps([ONE, ("T1", Hold(1, at(0), at(4), "two"))]) == []


def test_a_hold_that_begins_before_the_one_before_it_wrote_is_an_overlap() -> None:
    """Whatever the order in which they are found."""
    (found,) = overlaps([("T1", Hold(2, at(3), at(5), "two")), ONE])
    assert "held by one" in found
    assert "by two" in found


def test_a_wipe_of_redis_ends_all_holds() -> None:
    """Nobody holds what Redis has forgotten, and the transactions decide."""
    other = ("T1", Hold(2, at(3), at(5), "two"))
    assert overlaps([ONE, other], [Wipe(at(2), at(2.1))]) == []
    # Not one from before the first was taken, nor one after the second was.
    assert len(overlaps([ONE, other], [Wipe(at(-2), at(-1))])) == 1
    assert len(overlaps([ONE, other], [Wipe(at(3.5), at(3.6))])) == 1
