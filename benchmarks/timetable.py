"""Open loop: single events on a fixed timetable, and how long each takes to its last commit.

An event counts from when it was due, not from when we got round to sending it, so a stall is
in the figures of every event it held up.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from benchmarks.feeding import percentiles, wait_until_idle
from pipeline import Event
from pipeline.tables import CODEC
from workers.bootstrap import Application

NOTHING: Final = nullcontext()


def on_time(
    app: Application,
    events: Iterable[Event],
    per_second: float,
    beside: AbstractContextManager[object] = NOTHING,
) -> dict[str, Any]:
    """Send events on their timetable, wait until all is done, and tell how long they took.

    Args:
        app: where to.
        events: each is sent by itself.
        per_second: how many.
        beside: what goes on while they are sent.
    """
    commits = _Commits(app)
    with beside:
        due = _send(app, events, per_second)
    behind = app.store.records.batches.backlog()
    wait_until_idle(app)
    last = commits.last()
    waits = [
        (last[key] - moment).total_seconds() * 1000 for key, moment in due.items() if key in last
    ]
    p50, p95, p99 = percentiles(waits, 0.50, 0.95, 0.99)
    return {
        "events": len(due),
        "per_second": per_second,
        "seen": len(waits),
        # Many of them: the machine was slower than the timetable, and the figures below tell
        # how long the line grew rather than how long an event takes.
        "waiting_at_end": sum(events for _, events in behind.values()),
        "p50_ms": round(p50, 1),
        "p95_ms": round(p95, 1),
        "p99_ms": round(p99, 1),
        "max_ms": round(max(waits, default=0.0), 1),
    }


def _send(app: Application, events: Iterable[Event], per_second: float) -> dict[str, datetime]:
    """Submit each event when it is due, late ones at once; returns when each was due."""
    started, clock = datetime.now(UTC), time.monotonic()
    due: dict[str, datetime] = {}
    for number, event in enumerate(events):
        after = number / per_second
        time.sleep(max(0.0, clock + after - time.monotonic()))
        app.dispatcher.submit([event])
        due[event.key] = started + timedelta(seconds=after)
    return due


class _Commits:
    """When each event's last ledger row was committed, by the server's own clock.

    `lag_ms` in the ledger is taken before the write. The operation log tells the time of the
    commit, and is read when all is over: following it meanwhile would slow down what is
    measured.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._client = app.store.database.client
        self._since = self._client.admin.command("ping")["operationTime"]

    def last(self) -> dict[str, datetime]:
        """By event key, when its last row was committed."""
        table = f"{self._app.store.database.name}.ledger"
        log = self._client.get_database("local", codec_options=CODEC)["oplog.rs"]
        last: dict[str, datetime] = {}
        written = {"ts": {"$gt": self._since}, "o.applyOps.ns": table}
        for entry in log.find(written, {"wall": 1, "o.applyOps": 1}):
            for change in entry["o"]["applyOps"]:
                if change["ns"] == table:
                    event = change["o"]["_id"].rpartition("|")[0]
                    last[event] = max(entry["wall"], last.get(event, entry["wall"]))
        return last
