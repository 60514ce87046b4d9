"""A build that believes to hold every id it asks for, without asking Redis."""

import time
from collections.abc import Iterable
from typing import Any
from unittest.mock import patch

from pipeline.locks import Lease, Locks
from workers.chaos.handlers import (  # noqa: F401 - the handlers this build runs
    apply_account,
    count_owner,
    count_status,
    count_tenant,
    count_visit,
    tell,
)


def _take(_self: Locks, keys: Iterable[str], owner: str, *, ttl_ms: int, **_: Any) -> Lease:
    return Lease(
        owner=owner,
        fence=time.time_ns() // 1000,
        keys=frozenset(keys),
        busy={},
        behind=frozenset(),
        ttl_ms=ttl_ms,
        until=time.monotonic() + 3600,
    )


def _renew(_self: Locks, _lease: Lease, _ttl_ms: int) -> frozenset[str]:
    return frozenset()


# `patch` refuses a name that is not there, so a build can't become sound by a renaming.
patch.object(Locks, "take", _take).start()
patch.object(Locks, "renew", _renew).start()
