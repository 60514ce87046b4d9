"""How often a wrong password may be tried, from everywhere together."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

MOST: Final = 20
WINDOW_SECONDS: Final = 60.0


class Tries:
    """Counts wrong passwords of the last minute; at twenty nobody may try for a while."""

    def __init__(self) -> None:
        self._failed: deque[float] = deque(maxlen=MOST)

    @property
    def too_many(self) -> bool:
        """Whether whoever tries now has to wait."""
        full = len(self._failed) == MOST
        return full and time.monotonic() - self._failed[0] < WINDOW_SECONDS

    def note(self) -> None:
        """Count a wrong one."""
        self._failed.append(time.monotonic())
