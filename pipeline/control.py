"""Three words a handler may raise instead of failing: `Retry`, `Snooze`, `Cancel`.

Any other exception is a failure and waits for the handler's own backoff.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

LONGEST_WAIT: Final = timedelta(days=30)
"""No handler may put an event off for longer: it would be as good as lost."""


class ControlWord(Exception):
    """What a handler wants done with the event.

    Attributes:
        reason: one sentence for a person.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Retry(ControlWord):
    """Try the event again after this time; it counts as a failed attempt.

    Args:
        after: how long to wait, or how many seconds.
        reason: why.

    Raises:
        ValueError: a negative time, or one of more than 30 days.
    """

    def __init__(self, after: timedelta | float, reason: str = "asked to be tried again") -> None:
        super().__init__(reason)
        self.after = after if isinstance(after, timedelta) else timedelta(seconds=after)
        if not timedelta(0) <= self.after <= LONGEST_WAIT:
            raise ValueError(f"Retry takes 0 seconds to {LONGEST_WAIT.days} days, not {self.after}")


class Snooze(ControlWord):
    """Look at the event again at this moment; it does not count as an attempt.

    A moment that lies more than 30 days ahead is brought forward to that.

    Args:
        until: when, with an offset.
        reason: why.

    Raises:
        ValueError: the moment has no offset.
    """

    def __init__(self, until: datetime, reason: str = "asked to be looked at later") -> None:
        super().__init__(reason)
        if until.tzinfo is None:
            raise ValueError(f"Snooze takes a moment with an offset, not {until}")
        self.until = until.astimezone(UTC)


class Cancel(ControlWord):
    """Leave the event alone for good: this handler has no effect for it, nor has what follows.

    Args:
        reason: why; kept in the ledger.
    """
