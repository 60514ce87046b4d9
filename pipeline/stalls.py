"""What does not go on: jobs whose worker is gone, and work whose time has passed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from pipeline.queue import Heartbeats, JobQueue, Started
from pipeline.settings import Settings
from pipeline.store import Batch, Store

SHOWN: Final = 50


class Stalls(NamedTuple):
    """What does not go on.

    Attributes:
        orphans: what RQ shows as started by a worker without a sign of life.
        overdue: batches that should have been looked at by now, and when that was; the
            longest ago first, at most 50.
        seconds: after how long without a job the sweeper enqueues a batch again.
    """

    orphans: list[Started]
    overdue: list[tuple[Batch, datetime]]
    seconds: float

    @property
    def any(self) -> bool:
        """Whether there is something."""
        return bool(self.orphans or self.overdue)


def stalls(
    store: Store, queue: JobQueue, heartbeats: Heartbeats, settings: Settings, now: datetime
) -> Stalls:
    """Look for what does not go on; changes nothing. The sweeper takes care of both kinds.

    Args:
        store: where the batches are.
        queue: the lanes.
        heartbeats: which workers live.
        settings: how patient the sweeper is.
        now: wall time.
    """
    live = set(heartbeats.running())
    # What is due for less than a pass or two of the sweeper is on its way.
    late = now - timedelta(seconds=2 * settings.sweep_interval)
    batches = store.records.batches
    due = batches.due(late, SHOWN)
    times = batches.waiting([batch.id for batch in due])
    overdue = [(one, at) for one in due if (at := times.get(one.id, (one, None))[1]) is not None]
    orphans = [one for one in queue.started() if one.worker not in live][:SHOWN]
    return Stalls(orphans, overdue, settings.rescue_after)
