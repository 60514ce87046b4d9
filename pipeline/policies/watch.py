"""The side thread that sees changes of policies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Self

import structlog

from pipeline.policies.table import P, PolicyTable
from pipeline.store.policies import Scope

PERIOD_SECONDS: Final = 0.5
"""A change is seen everywhere within a second."""

log = structlog.get_logger(__name__)


class PolicyWatch(Generic[P]):
    """The policies as they were at the last look, between `with` and its end.

    Each look reads the whole collection, which is tiny, and puts a new table in the place
    of the old one if anything has changed. While MongoDB is away it keeps what it has.

    Args:
        read: gives the values that each scope sets, such as `LockPolicies.all`.
        default: the policy where no scope sets anything; tells what kind of policy they are.
        period: seconds between two looks.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[Scope, Mapping[str, Any]]],
        default: P,
        *,
        period: float = PERIOD_SECONDS,
    ) -> None:
        self._read = read
        self._default = default
        self._period = period
        self._stored: Mapping[Scope, Mapping[str, Any]] = {}
        self._table = PolicyTable({}, default)
        self._kind = type(default).__name__
        self._blind = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="policies", daemon=True)

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread; the policies stay as they were last seen."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def policy_for(self, handler: str, tenant: str) -> P:
        """The policy of a handler for a tenant; cheap enough to ask for every event."""
        return self._table.policy_for(handler, tenant)

    def look(self) -> None:
        """Look now; a failure is logged and changes nothing."""
        try:
            stored = self._read()
            table = None if stored == self._stored else PolicyTable(stored, self._default)
        except Exception as error:  # noqa: BLE001 - whatever it is, the last policies hold
            if not self._blind:
                log.warning("policies_unreadable", kind=self._kind, error=str(error)[:500])
            self._blind = True
            return
        self._blind = False
        if table is None:
            return
        for scope, reason in table.refused.items():
            log.warning("policy_refused", kind=self._kind, **scope._asdict(), reason=reason)
        self._stored, self._table = stored, table
        log.info("policies_changed", kind=self._kind, scopes=len(stored))

    def _run(self) -> None:
        while not self._closed.wait(self._period):
            self.look()
