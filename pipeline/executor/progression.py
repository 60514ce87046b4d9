"""From a failed attempt to what becomes of the event; pure.

raised     state      counts as an attempt   next
Cancel     cancelled  no                     never
Snooze     snoozed    no                     at its moment
Retry      retrying   yes                    after its time
else       retrying   yes                    after the handler's backoff
Retry or else, attempts used up: dead        when a person says so
WorkerDied, RefoldTooLarge: dead at once     when a person says so
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from pipeline.backoff import Backoff
from pipeline.control import LONGEST_WAIT, Cancel, Retry, Snooze
from pipeline.errors import RefoldTooLarge, WorkerDied
from pipeline.store import LedgerState


class Progress(NamedTuple):
    """What becomes of an event after an attempt that had no effect.

    Attributes:
        state: where it stands now.
        failed: how many of its attempts have failed so far.
        due_at: when it is tried again; None for never by itself.
    """

    state: LedgerState
    failed: int
    due_at: datetime | None


def progress(
    error: BaseException, failed_before: int, allowed: int, backoff: Backoff, now: datetime
) -> Progress:
    """The event's next state.

    Args:
        error: what the handler raised.
        failed_before: attempts that failed before this one.
        allowed: attempts that may fail before the event is a dead letter.
        backoff: the handler's waits.
        now: the time of this attempt.
    """
    if isinstance(error, Cancel):
        return Progress(LedgerState.CANCELLED, failed_before, None)
    if isinstance(error, Snooze):
        until = min(max(error.until, now), now + LONGEST_WAIT)
        return Progress(LedgerState.SNOOZED, failed_before, until)
    failed = failed_before + 1
    if failed >= allowed or isinstance(error, WorkerDied | RefoldTooLarge):
        return Progress(LedgerState.DEAD, failed, None)
    wait = error.after if isinstance(error, Retry) else backoff.delay(failed)
    return Progress(LedgerState.RETRYING, failed, now + wait)
