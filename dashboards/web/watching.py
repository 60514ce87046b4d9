"""Looks that all visitors share: however many there are, the servers are asked once.

A look that takes long is made less often, so that looking never takes more than a twentieth
of anybody's time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

SHARE: Final = 20
"""A look is good for this many times as long as it took."""


class Seen(NamedTuple, Generic[T]):
    """What a look found, and how many seconds ago."""

    value: T
    age: float


class Watch(Generic[T]):
    """Remembers the last look.

    Args:
        look: looks; may take its time, and raise.
        good_for: seconds for which a look is good, at least.
        at_most: seconds after which what was seen is not shown any more.
    """

    def __init__(self, look: Callable[[], T], *, good_for: float, at_most: float = 60.0) -> None:
        self._look = look
        self._good_for = good_for
        self._at_most = at_most
        self._looking = threading.Lock()
        self._last: tuple[T, float, float] | None = None

    def now(self) -> Seen[T]:
        """What is known: of a fresh look, or one before it while a fresh one is made.

        Raises:
            Exception: what the look raises, where nothing that may be shown is known.
        """
        last, now = self._last, time.monotonic()
        if last is None or now - last[1] > self._at_most:
            with self._looking:
                # Another may have looked while we waited.
                if self._last is None or time.monotonic() - self._last[1] > self._at_most:
                    self._remember()
                last = self._last
        elif now - last[1] > max(self._good_for, SHARE * last[2]):
            self._refresh()
        assert last is not None  # noqa: S101 - a look was made above
        return Seen(last[0], time.monotonic() - last[1])

    def fresh(self) -> T:
        """What a look finds that is still good; looks where there is none, and waits for it.

        Raises:
            Exception: what the look raises.
        """
        with self._looking:
            last = self._last
            if last is None or time.monotonic() - last[1] > max(self._good_for, SHARE * last[2]):
                self._remember()
                last = self._last
        assert last is not None  # noqa: S101 - a look was made above
        return last[0]

    def forget(self) -> None:
        """Look anew the next time: something was changed."""
        self._last = None

    def _refresh(self) -> None:
        if self._looking.acquire(blocking=False):
            threading.Thread(target=self._refreshed, daemon=True).start()

    def _refreshed(self) -> None:
        try:
            self._remember()
        except Exception:  # noqa: BLE001 - shown when what is known has become too old
            return
        finally:
            self._looking.release()

    def _remember(self) -> None:
        began = time.monotonic()
        value = self._look()
        ended = time.monotonic()
        self._last = value, ended, ended - began
