"""Open loop: single events on a fixed timetable, whether or not anybody keeps up.

An event counts from when it was due, not from when we got round to sending it, so a stall is
in the figures of every event it held up. Several threads send, as several clients would: one
that waits for its answer holds nobody up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline import Event

SENDERS: Final = 64
"""More than wait for an answer at one time. With fewer, at a thousand a second, a stall of a few
milliseconds would hold up events that have nothing to do with it."""


def send(
    submit: Callable[[Event], object], events: Iterable[Event], per_second: float
) -> dict[str, datetime]:
    """Send each event when it is due, late ones at once.

    Args:
        submit: takes one event, and returns when it is safe.
        events: in order.
        per_second: how many are due in a second.

    Returns:
        By event key, when it was due.

    Raises:
        Exception: what the first event raised that could not be sent.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    due: dict[str, datetime] = {}
    with ThreadPoolExecutor(SENDERS, thread_name_prefix="sender") as senders:
        sent = []
        for number, event in enumerate(events):
            after = number / per_second
            time.sleep(max(0.0, clock + after - time.monotonic()))
            sent.append(senders.submit(submit, event))
            due[event.key] = started + timedelta(seconds=after)
        for one in sent:
            one.result()
    return due
