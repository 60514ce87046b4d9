"""How much may be taken in: work that is not done yet is bounded, and so are submissions at once.

Whoever sends is told to wait, in one sentence and before anything is stored. What was
accepted is never given up: a slow MongoDB makes the gate close, not events go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pipeline.clock import Clock
from pipeline.errors import Overloaded

AT_ONCE: Final = 32
"""Submissions that write at the same time; each holds up to 16 MiB of payload."""
ADMISSION_SECONDS: Final = 5.0
"""How long a submission waits for its turn before it is turned away."""
LOOK_SECONDS: Final = 1.0
"""How long one look at what is pending holds."""
RETRY_SECONDS: Final = 2.0
"""After how long it is worth trying again."""


class Gate:
    """Lets submissions through while there is room.

    Args:
        count: how many batches are pending, counted up to a limit.
        clock: monotonic time.
        most: batches that may be pending; more close the gate.
        at_once: submissions that may write at the same time.
        patience: seconds a submission waits for its turn.
    """

    def __init__(
        self,
        count: Callable[[int], int],
        clock: Clock,
        most: int,
        *,
        at_once: int = AT_ONCE,
        patience: float = ADMISSION_SECONDS,
    ) -> None:
        self._count = count
        self._clock = clock
        self._most = most
        self._at_once = at_once
        self._turns = threading.BoundedSemaphore(at_once)
        self._patience = patience
        self._pending = 0
        self._looked = float("-inf")

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Pass the gate, or learn that it is closed; nothing is stored then.

        Raises:
            Overloaded: too much is pending, or too many submit at once.
        """
        if not self._turns.acquire(timeout=self._patience):
            raise Overloaded(
                f"{self._at_once} submissions have been writing for {self._patience:g} seconds; "
                f"MongoDB is slow. Send again in {RETRY_SECONDS:g} seconds",
                retry_after=RETRY_SECONDS,
            )
        try:
            self._look()
            yield
        finally:
            self._turns.release()

    def _look(self) -> None:
        now = self._clock.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._pending, self._looked = self._count(self._most + 1), now
        if self._pending > self._most:
            raise Overloaded(
                f"more than {self._most:,} batches wait to be done (PIPELINE_MAX_PENDING); "
                f"send again in {RETRY_SECONDS:g} seconds, or add workers",
                retry_after=RETRY_SECONDS,
            )
