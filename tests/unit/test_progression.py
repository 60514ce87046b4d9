"""Control words, and what becomes of an event after an attempt that had no effect."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backoff import Backoff
from pipeline.control import LONGEST_WAIT, Cancel, ControlWord, Retry, Snooze
from pipeline.errors import HandlerFault, RefoldTooLarge, WorkerDied
from pipeline.executor.progression import Progress, progress
from pipeline.store import LedgerState

NOW: Final = datetime(2024, 6, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
BACKOFF: Final = Backoff(base_seconds=8, cap_seconds=20)
ALLOWED: Final = 3

FAILURES = [ValueError("broken"), HandlerFault("no state"), Retry(HOUR), Retry(0)]


def after(error: BaseException, failed_before: int = 0, allowed: int = ALLOWED) -> Progress:
    """What becomes of the event."""
    return progress(error, failed_before, allowed, BACKOFF, NOW)


@pytest.mark.parametrize("failed_before", [0, 1, 7])
def test_cancel_is_final_and_counts_nothing(failed_before: int) -> None:
    """Whatever came before it."""
    assert after(Cancel("no"), failed_before) == (LedgerState.CANCELLED, failed_before, None)


@pytest.mark.parametrize("failed_before", [0, 2, 7])
def test_snooze_waits_for_its_moment_and_counts_nothing(failed_before: int) -> None:
    """Even where no attempt would be left."""
    found = after(Snooze(NOW + HOUR), failed_before)
    assert found == (LedgerState.SNOOZED, failed_before, NOW + HOUR)


@pytest.mark.parametrize(
    ("until", "due"),
    [
        (NOW - HOUR, NOW),
        (NOW, NOW),
        (NOW + LONGEST_WAIT, NOW + LONGEST_WAIT),
        (NOW + 2 * LONGEST_WAIT, NOW + LONGEST_WAIT),
        (datetime.max.replace(tzinfo=UTC), NOW + LONGEST_WAIT),
        (datetime.min.replace(tzinfo=UTC), NOW),
    ],
)
def test_a_snooze_ends_between_now_and_the_longest_wait(until: datetime, due: datetime) -> None:
    """Nothing is lost in the past or in the far future."""
    assert after(Snooze(until)).due_at == due


def test_retry_waits_for_its_time_and_counts() -> None:
    """The handler's backoff has no say in it."""
    assert after(Retry(HOUR), 1) == (LedgerState.RETRYING, 2, NOW + HOUR)
    assert after(Retry(0)) == (LedgerState.RETRYING, 1, NOW)


@given(st.integers(0, 100))
def test_any_other_error_waits_for_the_backoff_and_counts(failed_before: int) -> None:
    """The wait is within the bound for so many failures."""
    state, failed, due_at = after(ValueError("broken"), failed_before, allowed=1000)
    assert (state, failed) == (LedgerState.RETRYING, failed_before + 1)
    assert due_at is not None
    assert timedelta(0) <= due_at - NOW <= timedelta(seconds=BACKOFF.bound(failed))


@pytest.mark.parametrize("error", FAILURES, ids=repr)
@pytest.mark.parametrize(
    ("failed_before", "allowed", "state"),
    [
        (0, 3, LedgerState.RETRYING),
        (1, 3, LedgerState.RETRYING),
        (2, 3, LedgerState.DEAD),
        (0, 1, LedgerState.DEAD),
        # The limit was lowered meanwhile, or RQ gave one attempt more.
        (5, 3, LedgerState.DEAD),
    ],
)
def test_the_last_attempt_that_is_allowed_makes_a_dead_letter(
    error: BaseException, failed_before: int, allowed: int, state: LedgerState
) -> None:
    """Whether it failed or asked for another one; it is never due then."""
    found = after(error, failed_before, allowed)
    assert (found.state, found.failed) == (state, failed_before + 1)
    assert (found.due_at is None) == (state is LedgerState.DEAD)


def test_an_event_that_killed_its_workers_is_dead_at_once() -> None:
    """However many attempts are left: each would cost another worker."""
    assert after(WorkerDied(), 0, allowed=100) == (LedgerState.DEAD, 1, None)


def test_an_event_that_changes_too_much_of_the_past_is_dead_at_once() -> None:
    """The past is as long at the next attempt."""
    assert after(RefoldTooLarge(), 0, allowed=100) == (LedgerState.DEAD, 1, None)


def test_words_take_seconds_or_a_duration() -> None:
    """Both mean the same."""
    assert Retry(90).after == Retry(timedelta(seconds=90)).after == timedelta(seconds=90)
    assert Retry(0.5).after == timedelta(milliseconds=500)
    assert Retry(LONGEST_WAIT).after == LONGEST_WAIT


@pytest.mark.parametrize(
    "wait", [-1, timedelta(microseconds=-1), LONGEST_WAIT + timedelta(seconds=1), 31 * 86400]
)
def test_a_wait_that_makes_no_sense_is_refused_in_the_handler(wait: timedelta | float) -> None:
    """So it counts as that handler's failure, with its traceback."""
    with pytest.raises(ValueError, match="0 seconds to 30 days"):
        Retry(wait)


def test_a_snooze_needs_an_offset() -> None:
    """Noon is not everywhere at once."""
    with pytest.raises(ValueError, match="a moment with an offset"):
        Snooze(datetime(2024, 6, 1, 12))  # noqa: DTZ001 - that is the point


def test_a_snooze_is_kept_in_utc() -> None:
    """As all moments are."""
    until = Snooze(datetime(2024, 6, 1, 12, tzinfo=timezone(2 * HOUR))).until
    assert (until, until.tzinfo) == (datetime(2024, 6, 1, 10, tzinfo=UTC), UTC)


@pytest.mark.parametrize("word", [Retry(0, "why"), Snooze(NOW, "why"), Cancel("why")])
def test_every_word_keeps_its_reason(word: ControlWord) -> None:
    """As its message too."""
    assert (word.reason, str(word)) == ("why", "why")


@pytest.mark.parametrize("word", [Retry(0), Snooze(NOW)])
def test_a_word_without_a_reason_says_at_least_what_it_is(word: ControlWord) -> None:
    """A person who reads the ledger is told something."""
    assert word.reason.startswith("asked to be")
