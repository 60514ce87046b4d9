"""The side thread that renews leases, on a real Redis, beside handlers that are busy."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from pipeline.clock import ManualClock, SystemClock
from pipeline.errors import Unavailable
from pipeline.locks import Keeper, Lease, Locks
from pipeline.locks.keeper import RENEWALS
from pipeline.locks.locks import LOCK

TTL = 2_000  # milliseconds
PATIENCE = 30.0  # seconds until a fact that must come is taken not to


class Counted(Locks):
    """Leases that count their renewals, and fail them on demand."""

    renewed = 0
    failing = False

    def renew(self, lease: Lease, ttl_ms: int) -> frozenset[str]:
        """Renew and count."""
        try:
            if self.failing:
                raise Unavailable
            return super().renew(lease, ttl_ms)
        finally:
            self.renewed += 1


@pytest.fixture
def locks(redis_server: Redis) -> Counted:
    """Give leases on an empty Redis."""
    return Counted(redis_server, SystemClock())


@pytest.fixture
def keeper(locks: Counted) -> Iterator[Keeper]:
    """Give a keeper that runs."""
    with Keeper(locks, SystemClock()) as keeper:
        yield keeper


def until(fact: Callable[[], object]) -> None:
    """Wait for a fact without holding the interpreter."""
    end = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def burn(until: Callable[[], bool]) -> None:
    """Compute without a pause, as a busy handler, until something has happened beside it."""
    end = time.monotonic() + PATIENCE
    number = 1
    while not until():
        for _ in range(10_000):
            number = number * 1_103_515_245 % 2_147_483_647
        assert time.monotonic() < end, f"nothing happened beside the handler ({number})"


def test_renewal_goes_on_beside_a_handler_that_never_pauses(
    locks: Counted, keeper: Keeper, redis_server: Redis
) -> None:
    """For longer than a life of the lease nobody else gets the key."""
    lease = locks.take(["a", "b"], "busy", ttl_ms=TTL)
    with keeper.holding(lease):
        burn(until=lambda: locks.renewed > RENEWALS)
        assert not keeper.lost(lease)
        assert locks.take(["a", "b"], "other", ttl_ms=TTL).keys == frozenset()
    assert not redis_server.exists(LOCK + "a", LOCK + "b")


def test_what_is_no_longer_held_is_no_longer_renewed(
    locks: Counted, keeper: Keeper, redis_server: Redis
) -> None:
    """A dropped lease ends by itself."""
    dropped = locks.take(["a"], "one", ttl_ms=TTL)
    kept = locks.take(["b"], "one", ttl_ms=TTL)
    keeper.hold(dropped)
    keeper.hold(kept)
    keeper.drop(dropped)
    until(lambda: not redis_server.exists(LOCK + "a"))
    assert redis_server.exists(LOCK + "b")
    assert keeper.lost(dropped) == {"a"}
    assert not keeper.lost(kept)


def test_every_lease_is_renewed_in_its_own_time(
    locks: Counted, keeper: Keeper, redis_server: Redis
) -> None:
    """One that lives long does not keep the thread from one that comes later and ends soon."""
    keeper.hold(locks.take(["a"], "one", ttl_ms=600_000))
    short = locks.take(["b"], "one", ttl_ms=TTL)
    keeper.hold(short)
    until(lambda: locks.renewed >= 4)
    assert not keeper.lost(short)
    assert redis_server.pttl(LOCK + "b") > 0


def test_what_was_taken_away_is_told_before_the_commit(
    locks: Counted, keeper: Keeper, redis_server: Redis
) -> None:
    """The keys of a wiped Redis that another has taken; the rest is still renewed."""
    lease = locks.take(["a", "b", "c"], "one", ttl_ms=TTL)
    keeper.hold(lease)
    redis_server.delete(LOCK + "a", LOCK + "b")
    locks.take(["b"], "two", ttl_ms=600_000)
    until(lambda: keeper.lost(lease))
    assert keeper.lost(lease) == {"a", "b"}
    renewed = locks.renewed
    until(lambda: locks.renewed > renewed)
    assert redis_server.pttl(LOCK + "c") > 0
    assert keeper.lost(lease) == {"a", "b"}


def test_a_lost_key_stays_lost_when_it_is_free_again(
    locks: Counted, keeper: Keeper, redis_server: Redis
) -> None:
    """Another may have written meanwhile; the owner has to begin anew."""
    lease = locks.take(["a"], "one", ttl_ms=TTL)
    keeper.hold(lease)
    redis_server.delete(LOCK + "a")
    until(lambda: keeper.lost(lease))
    locks.take(["a"], "one", ttl_ms=600_000)
    renewed = locks.renewed
    until(lambda: locks.renewed > renewed)
    assert keeper.lost(lease) == {"a"}


def test_without_redis_nothing_is_sure_after_the_leases_time(
    locks: Counted, keeper: Keeper
) -> None:
    """Failed renewals are tried again sooner; then all keys count as lost, until one succeeds."""
    lease = locks.take(["a"], "one", ttl_ms=TTL)
    locks.failing = True
    keeper.hold(lease)
    until(lambda: keeper.lost(lease) == {"a"})
    assert locks.renewed > 3


def test_a_frozen_process_sees_its_loss_at_once(redis_server: Redis) -> None:
    """Its own clock tells, before any renewal has."""
    clock = ManualClock(datetime(2024, 6, 1, tzinfo=UTC))
    locks = Locks(redis_server, clock)
    keeper = Keeper(locks, clock)  # not started: the thread is frozen too
    lease = locks.take(["a"], "one", ttl_ms=TTL)
    keeper.hold(lease)
    clock.advance(timedelta(milliseconds=TTL - 1))
    assert not keeper.lost(lease)
    clock.advance(timedelta(milliseconds=1))
    assert keeper.lost(lease) == {"a"}


def test_a_failing_handler_gives_its_keys_back(
    locks: Counted, keeper: Keeper, redis_server: Redis
) -> None:
    """Its error goes on to the caller."""
    lease = locks.take(["a"], "one", ttl_ms=TTL)
    with pytest.raises(RuntimeError, match="broken"), keeper.holding(lease):
        raise RuntimeError("broken")
    assert not redis_server.exists(LOCK + "a")


def test_the_thread_ends_with_its_keeper(locks: Counted) -> None:
    """Twice closed is closed; what was held then ends by itself."""
    before = set(threading.enumerate())
    with Keeper(locks, SystemClock()) as keeper:
        (thread,) = set(threading.enumerate()) - before
        assert thread.daemon, "it must not keep the process from ending"
        keeper.hold(locks.take(["a"], "one", ttl_ms=600_000))
    assert not thread.is_alive()
    keeper.close()
