"""The side thread that renews what a process holds.

It is a thread and not a part of the handler's loop, so a handler that computes or waits does
not stop it: Python takes the interpreter from a busy thread every few milliseconds. A call
into C that keeps it for longer than a lease lives does stop it; then `lost` says so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

import structlog

from pipeline.clock import Clock
from pipeline.errors import Unavailable
from pipeline.locks.locks import Lease, Locks

RENEWALS: Final = 3
"""How often a lease is renewed within its time, so that two in a row may fail."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Held:
    """A lease that is being renewed.

    Attributes:
        lease: as it was taken.
        due: when it is to be renewed next, in monotonic seconds.
        until: when it ends unless it is renewed, in monotonic seconds.
        lost: keys that the last renewal found lost; what is lost once stays so.
    """

    lease: Lease
    due: float
    until: float
    lost: frozenset[str] = frozenset()


class Keeper:
    """Renews leases from a thread of its own, between `with` and its end.

    Args:
        locks: where the leases are from.
        clock: monotonic time.
    """

    def __init__(self, locks: Locks, clock: Clock) -> None:
        self._locks = locks
        self._clock = clock
        self._held: dict[int, _Held] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread; what is still held ends by itself."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Lease]:
        """Renew the lease within the block, and give it back at the end."""
        self.hold(lease)
        try:
            yield lease
        finally:
            self.drop(lease)
            self._locks.release(lease)

    def hold(self, lease: Lease) -> None:
        """Renew the lease from now on."""
        begun = lease.until - lease.ttl_ms / 1000
        held = _Held(lease, due=begun + _period(lease), until=lease.until)
        with self._changed:
            self._held[lease.fence] = held
            self._changed.notify()

    def drop(self, lease: Lease) -> None:
        """Renew the lease no more; a renewal that has begun may still end after this."""
        with self._changed:
            self._held.pop(lease.fence, None)

    def lost(self, lease: Lease) -> frozenset[str]:
        """The keys of the lease that others may have by now; empty means go on.

        Asks nobody: it knows what the last renewal found, and that nothing is sure once the
        lease's time is over. So a process that was frozen sees its loss at once, and one
        whose Redis was wiped after the next renewal.
        """
        held = self._held.get(lease.fence)
        until = lease.until if held is None else held.until
        if self._clock.monotonic() >= until:
            return lease.keys
        return frozenset() if held is None else held.lost

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = self._clock.monotonic()
                due = [held for held in self._held.values() if held.due <= now]
                if not due:
                    following = min((held.due for held in self._held.values()), default=None)
                    self._changed.wait(None if following is None else following - now)
                    continue
            for held in due:
                self._renew(held)

    def _renew(self, held: _Held) -> None:
        asked = self._clock.monotonic()
        try:
            lost = self._locks.renew(held.lease, held.lease.ttl_ms)
        except Unavailable as error:
            # Sooner than usual: there is time for several tries before the lease ends.
            held.due = asked + _period(held.lease) / RENEWALS
            log.warning("renewal_failed", owner=held.lease.owner, error=str(error))
            return
        if lost != held.lost:
            log.warning("lease_lost", owner=held.lease.owner, keys=len(lost))
        held.lost = lost
        held.until = asked + held.lease.ttl_ms / 1000
        held.due = asked + _period(held.lease)


def _period(lease: Lease) -> float:
    """Seconds between two renewals."""
    return lease.ttl_ms / 1000 / RENEWALS
