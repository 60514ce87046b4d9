"""Warming up: workers that have just started take longer over their first events.

They load what they need, connect, and learn the scripts of Redis. Whoever is measured has done
that before, the pipeline as well as its peers.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from benchmarks.feeding import START_SECONDS, StalledError, Tick, wait_until_idle
from pipeline import Event
from pipeline.verification import HANDLER
from workers.bootstrap import Application

WARM_UP: Final = "warm-up"
ROUND: Final = 20
"""Single events that are sent to warm up."""
SINGLE: Final = 5 * ROUND
"""So many of them; where that has not reached every worker, many are sent at once."""
SHARE: Final = 200
"""Of many, so many at least for each worker."""


def nobodys(number: int) -> Event:
    """An event that belongs to no workload."""
    return Event(
        event_id=f"{WARM_UP}-{number}",
        tenant=WARM_UP,
        source=WARM_UP,
        type="appointment.scheduled",
        entity_id=f"{number}",
        occurred_at=datetime.now(UTC),
        payload={"lead": WARM_UP, "channel": WARM_UP},
    )


def warm_up(app: Application, workers: int, tick: Tick) -> None:
    """Send events until so many workers have done some, and forget them.

    Nothing is sent where no handler is for them.

    Raises:
        StalledError: they don't.
    """
    deadline, sent = time.monotonic() + START_SECONDS, 0
    database = app.store.database
    if not app.registry.actions_for(nobodys(0).type):
        return
    while len(database["batches"].distinct("worker")) < workers:
        if time.monotonic() > deadline:
            raise StalledError(f"{sent} events were not done by {workers} workers")
        # Single events are left to the worker that is at others; of many everybody takes a share.
        few = sent < SINGLE
        size = ROUND if few else workers * max(SHARE, app.settings.batch_size)
        events = [nobodys(number) for number in range(sent, sent + size)]
        for part in [[event] for event in events] if few else [events]:
            app.dispatcher.submit(part)
        sent += size
        wait_until_idle(app, tick=tick)
    for name in ("events", "payloads", "ledger", *app.registry.tables()):
        database[name].delete_many({})
    # A sample may have been begun meanwhile, whose units no worker could end without theirs.
    database["batches"].delete_many({"handler": {"$ne": HANDLER}})
