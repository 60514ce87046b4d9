"""A build that writes its documents one after the other, without a transaction."""

from collections.abc import Callable
from typing import TypeVar

from pipeline.store import Records, Store
from workers.chaos.handlers import (  # noqa: F401 - the handlers this build runs
    apply_account,
    count_owner,
    count_status,
    count_tenant,
    count_visit,
    tell,
)

T = TypeVar("T")


def _once(self: Store, work: Callable[[Records], T]) -> T:
    return work(Records(self.database))


Store._once = _once  # type: ignore[method-assign]  # noqa: SLF001
