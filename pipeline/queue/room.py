"""How many jobs may wait in a lane: Redis is bounded, and the outbox is not.

What does not fit stays pending in MongoDB, and the sweeper enqueues it when there is room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pipeline.store import Batch

MOST_JOBS: Final = 5_000
"""Jobs that may wait in one lane; each holds up to 500 event keys, some 10 KB."""
LOOK_SECONDS: Final = 0.5
"""How long one look at the lengths holds; between looks we count what we add ourselves."""


class Room:
    """Counts jobs into lanes.

    Args:
        lengths: asks Redis how many jobs wait in each lane.
        most: jobs that may wait in one lane, give or take what others add within a look.
    """

    def __init__(self, lengths: Callable[[], Mapping[str, int]], most: int = MOST_JOBS) -> None:
        self._lengths = lengths
        self._most = most
        self._waiting: dict[str, int] = {}
        self._looked = float("-inf")

    def fitting(self, batches: Sequence[Batch]) -> list[Batch]:
        """Those of the batches that there is room for, which they take.

        Raises:
            redis.RedisError: Redis is away.
        """
        if not batches:
            return []
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._waiting, self._looked = dict(self._lengths()), now
        found = []
        for batch in batches:
            waiting = self._waiting.get(batch.lane, 0)
            if waiting < self._most:
                self._waiting[batch.lane] = waiting + 1
                found.append(batch)
        return found
