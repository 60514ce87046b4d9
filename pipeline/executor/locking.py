"""Leases on the documents that a run of a fold writes.

They keep two workers from folding the same document at once, which one of them would do in
vain, and keep the order of the queue where a handler asks for it. Correctness does not
depend on them: without Redis, or with leases switched off, transactions decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import structlog

from pipeline.declarations import Fold, Handler
from pipeline.errors import Unavailable
from pipeline.executor.turns import Keys, Turns, keys_of
from pipeline.locks import Keeper, Lease, LockPolicy, Locks, WhenBusy
from pipeline.policies import PolicyWatch
from pipeline.store import Batch, EventRecord

log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Others may have the ids by now; take them again, above the fence that was met."""

    def __init__(self, floor: int = 0) -> None:
        super().__init__("a lease was lost")
        self.floor = floor


@dataclass(slots=True)
class Grip:
    """What a run holds.

    Attributes:
        leases: what was taken; none where nothing is to be locked, or Redis gives none.
        busy: events whose ids another run has; they are put off.
    """

    leases: list[Lease] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)

    @property
    def fence(self) -> int | None:
        """The lowest fence of our leases; None without one."""
        return min((lease.fence for lease in self.leases), default=None)


class Locking:
    """Takes, keeps and gives back the leases of one worker's runs.

    Args:
        locks: where leases come from.
        keeper: renews them from its own thread.
        policies: whether and how leases are taken, as it is now.
        worker: our name; each run is an owner of its own.

    Attributes:
        turns: the lines in which batches wait for ids.
    """

    def __init__(
        self, locks: Locks, keeper: Keeper, policies: PolicyWatch[LockPolicy], worker: str
    ) -> None:
        self.turns = Turns(locks)
        self._locks = locks
        self._keeper = keeper
        self._policies = policies
        self._worker = worker
        self._runs = 0

    @contextmanager
    def gripping(
        self,
        handlers: Sequence[Handler],
        batches: Sequence[Batch],
        records: Mapping[str, EventRecord],
        floor: int,
    ) -> Iterator[Grip]:
        """Hold the ids of these batches, as far as they are free, within the block."""
        if not isinstance(handlers[0], Fold):
            # What adds up needs no order, and a total that every event of a tenant touches
            # would be held all the time.
            yield Grip()
            return
        grip = Grip()
        self._runs += 1
        with ExitStack() as held:
            try:
                for lease in self._take(handlers[0], batches, records, floor, grip):
                    grip.leases.append(held.enter_context(self._keeper.holding(lease)))
            except Unavailable as error:
                log.warning("running_without_leases", error=str(error)[:300])
            yield grip

    def ensure(self, grip: Grip) -> None:
        """Check that nobody else has what we hold; last thing before a commit.

        Raises:
            LeaseLost: somebody may.
        """
        if any(self._keeper.lost(lease) for lease in grip.leases):
            raise LeaseLost

    def _take(
        self,
        handler: Fold,
        batches: Sequence[Batch],
        records: Mapping[str, EventRecord],
        floor: int,
        grip: Grip,
    ) -> Iterator[Lease]:
        """Take leases: in one call for each policy, and for each batch where order is kept."""
        owner = f"{self._worker}/{self._runs}"
        wanted: dict[tuple[LockPolicy, str | None], Keys] = defaultdict(dict)
        for batch in batches:
            ticket = batch.id if handler.ordered else None
            for event, key in keys_of(handler, batch, records).items():
                policy = self._policies.policy_for(handler.name, records[event].event.tenant)
                if policy.enabled:
                    wanted[policy, ticket][event] = key
        for (policy, ticket), keys in wanted.items():
            lease = self._locks.take(
                set(keys.values()),
                owner,
                ttl_ms=policy.ttl_ms,
                floor=floor,
                ticket=ticket,
                wait_ms=policy.wait_ms,
            )
            yield lease
            if policy.when_busy is WhenBusy.DEFER:
                grip.busy |= {event for event, key in keys.items() if key in lease.busy}
