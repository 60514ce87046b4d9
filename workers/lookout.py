"""Look at the servers again and again, without waiting for one that hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, Self, TypeVar

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from pipeline.clock import Clock
from pipeline.errors import Unavailable

LOOK_SECONDS: Final = 1.0
JOIN_SECONDS: Final = 1.0
"""So long the end waits for a look that is under way; a server that hangs may take for ever."""

T = TypeVar("T")


class Lookout(Generic[T]):
    """Looks again and again, from a thread of its own.

    Args:
        look: takes a look; it may fail as servers do.
        clock: for how long nothing was seen.
        period: seconds between two looks.

    Attributes:
        latest: what was seen last; None before the first look has succeeded.
        error: why the last look failed; empty when it did not.
    """

    def __init__(
        self, look: Callable[[], T], clock: Clock, *, period: float = LOOK_SECONDS
    ) -> None:
        self.latest: T | None = None
        self.error = ""
        self._look = look
        self._clock = clock
        self._period = period
        self._seen = clock.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; a look that hangs is left to itself."""
        self._ended.set()
        self._thread.join(JOIN_SECONDS)

    def silence(self) -> float:
        """Seconds since a look has succeeded, or since the start."""
        return self._clock.monotonic() - self._seen

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.latest = self._look()
                self._seen = self._clock.monotonic()
                self.error = ""
            except (RedisError, PyMongoError, Unavailable) as error:
                self.error = str(error)
            self._ended.wait(self._period)
