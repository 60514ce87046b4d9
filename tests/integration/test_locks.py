"""Leases on a real Redis: one owner an id, whatever is raced, wiped, expired or repeated."""

import itertools
import random
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import bson
import pytest
from redis import Redis

from pipeline.clock import SystemClock
from pipeline.errors import Unavailable
from pipeline.locks import Lease, Locks, connect
from pipeline.locks.locks import FENCE, HIGHEST_FENCE, LOCK

LONG = 60_000  # milliseconds; no test lasts so long


@pytest.fixture
def locks(redis_server: Redis) -> Locks:
    """Give leases on an empty Redis."""
    return Locks(redis_server, SystemClock())


def take(locks: Locks, owner: str, *keys: str, floor: int = 0) -> Lease:
    """Take keys for a time that does not end within a test."""
    return locks.take(keys, owner, ttl_ms=LONG, floor=floor)


def expire(redis: Redis, *keys: str) -> None:
    """Let the leases on these keys end now."""
    for key in keys:
        assert redis.pexpire(LOCK + key, 0)


def test_free_keys_are_taken_all_at_once(locks: Locks, redis_server: Redis) -> None:
    """Six hundred of them in one command after the script is known, each with its end."""
    take(locks, "warm")
    redis_server.config_resetstat()
    keys = [f"k{number}" for number in range(600)]
    lease = take(locks, "one", *keys)
    assert lease.keys == frozenset(keys)
    assert not lease.busy
    assert redis_server.info("commandstats")["cmdstat_evalsha"]["calls"] == 1
    assert all(0 < redis_server.pttl(LOCK + key) <= LONG for key in keys)


def test_thousands_of_keys_are_taken_renewed_and_released(
    locks: Locks, redis_server: Redis
) -> None:
    """More than Lua hands over to one command; who holds some of them keeps them."""
    keys = [f"k{number}" for number in range(2_500)]
    others = take(locks, "two", *keys[::1_000])
    lease = take(locks, "one", *keys)
    assert lease.busy == dict.fromkeys(keys[::1_000], "two")
    assert len(lease.keys) == 2_497
    expire(redis_server, keys[1_500], keys[2_499])
    assert locks.renew(lease, LONG) == {keys[1_500], keys[2_499]}
    locks.release(lease)
    assert {key.decode().removeprefix(LOCK) for key in redis_server.keys(f"{LOCK}*")} == others.keys


def test_only_the_busy_are_left_out_and_named_with_their_owner(locks: Locks) -> None:
    """The others are ours, so only the events of the busy wait."""
    take(locks, "one", "a", "b")
    take(locks, "two", "c")
    lease = take(locks, "three", "a", "b", "a", "c", "d", "e", "d")
    assert lease.keys == {"d", "e"}
    assert lease.busy == {"a": "one", "b": "one", "c": "two"}
    assert lease.behind == frozenset()


@pytest.mark.parametrize("owner", ["two words", "ünïcode@host:7/β", "7 one", "line\nbreak"])
def test_an_owner_may_have_any_name(locks: Locks, owner: str) -> None:
    """It is told to others as it is, and recognized."""
    lease = take(locks, owner, "a", "ключ")
    assert take(locks, "other", "a", "ключ").busy == {"a": owner, "ключ": owner}
    assert locks.renew(lease, LONG) == frozenset()


def test_what_is_ours_already_may_be_taken_again_and_more_with_it(locks: Locks) -> None:
    """Both leases hold; a call repeated because its answer was lost does no harm."""
    first = take(locks, "one", "a", "b")
    second = take(locks, "one", "b", "c")
    assert second.keys == {"b", "c"}
    assert locks.renew(first, LONG) == locks.renew(second, LONG) == frozenset()


def test_taking_again_gives_the_key_its_full_time(locks: Locks, redis_server: Redis) -> None:
    """Asking again while waiting for the busy is a renewal of the others."""
    locks.take(["a"], "one", ttl_ms=LONG)
    locks.take(["a"], "one", ttl_ms=10 * LONG)
    assert redis_server.pttl(LOCK + "a") > LONG


def test_a_released_key_is_free(locks: Locks) -> None:
    """At once."""
    locks.release(take(locks, "one", "a", "b"))
    assert take(locks, "two", "a", "b").keys == {"a", "b"}


def test_a_release_by_who_is_not_the_owner_does_nothing(locks: Locks) -> None:
    """Neither by another name, nor by an owner whose lease ended and was taken over."""
    late = take(locks, "one", "a")
    assert take(locks, "two", "a").busy
    locks.release(Lease("two", HIGHEST_FENCE, frozenset("a"), {}, frozenset(), LONG, 0.0))
    assert locks.renew(late, LONG) == frozenset()


def test_an_expired_lease_can_be_taken_by_another_and_renewal_tells_the_loss(
    locks: Locks, redis_server: Redis
) -> None:
    """The late owner learns which keys it lost, renews the rest, and can't give back the lost."""
    late = take(locks, "one", "a", "b", "c")
    expire(redis_server, "a", "b")
    new = take(locks, "two", "a")
    assert locks.renew(late, LONG) == {"a", "b"}
    assert redis_server.pttl(LOCK + "c") > 0
    locks.release(late)
    assert locks.renew(new, LONG) == frozenset()
    assert take(locks, "three", "a", "b", "c").keys == {"b", "c"}


def test_a_lease_ends_by_itself(locks: Locks) -> None:
    """Whoever waits gets the key of an owner that has died."""
    locks.take(["a"], "dead", ttl_ms=20)
    lease = locks.take(["a"], "heir", ttl_ms=LONG, wait_ms=LONG)
    assert lease.keys == {"a"}


@pytest.mark.parametrize(("keys", "longest"), [(1, 0.02), (100, 0.02), (500, 0.1)])
def test_who_waits_for_many_keys_looks_less_often(
    locks: Locks, monkeypatch: pytest.MonkeyPatch, keys: int, longest: float
) -> None:
    """Pauses grow to 20 ms, and for more than a hundred keys to 0.2 ms each."""
    naps: list[float] = []
    names = [f"k{n}" for n in range(keys)]
    locks.take(names[:1], "other", ttl_ms=LONG)
    # In this module alone: other threads, such as the driver's, sleep as well.
    monkeypatch.setattr("pipeline.locks.locks.time", SimpleNamespace(sleep=naps.append))
    longest_of = SimpleNamespace(uniform=lambda _low, high: high)
    monkeypatch.setattr("pipeline.locks.locks.random", longest_of)
    assert locks.take(names, "who", ttl_ms=LONG, wait_ms=2000).busy
    assert max(naps) == pytest.approx(longest)
    assert naps[:2] == pytest.approx([0.005, 0.01])
    assert sum(naps) == pytest.approx(2.0)


def test_who_lost_a_key_and_took_it_anew_is_told_for_the_older_lease(
    locks: Locks, redis_server: Redis
) -> None:
    """Another may have held it in between, so the older lease is no longer worth anything."""
    old = take(locks, "one", "a", "b")
    expire(redis_server, "a")
    new = take(locks, "one", "a", "b")
    assert locks.renew(old, LONG) == {"a"}
    assert locks.renew(new, LONG) == frozenset()
    locks.release(old)
    assert locks.renew(new, LONG) == {"b"}


def test_renewal_prolongs_and_makes_nothing_that_is_gone(locks: Locks, redis_server: Redis) -> None:
    """A lost key stays free."""
    lease = take(locks, "one", "a", "b")
    expire(redis_server, "b")
    assert locks.renew(lease, 10 * LONG) == {"b"}
    assert redis_server.pttl(LOCK + "a") > LONG
    assert not redis_server.exists(LOCK + "b")


def test_nothing_can_be_taken_renewed_and_released(locks: Locks) -> None:
    """A batch whose handler touches no document."""
    lease = take(locks, "one")
    assert lease.keys == frozenset()
    assert locks.renew(lease, LONG) == frozenset()
    locks.release(lease)
    assert take(locks, "one").fence > lease.fence


def test_fences_rise_over_calls_wipes_restarts_of_scripts_and_floors(
    locks: Locks, redis_server: Redis
) -> None:
    """Whatever happens in between, each is greater than all before it."""
    fences = [take(locks, "one", "a").fence]
    between = [
        lambda: None,
        redis_server.flushall,
        redis_server.script_flush,
        lambda: locks.release(take(locks, "one", "b")),
        redis_server.flushall,
    ]
    for happens in between * 3:
        happens()
        fences.append(take(locks, "two", "a", "b").fence)
        fences.append(take(locks, "one", "c", floor=fences[-1] + 10).fence)
        assert fences[-1] > fences[-2] + 10
    assert fences == sorted(set(fences))


def test_a_fence_as_mongodb_gives_it_is_sent_as_a_plain_number(
    locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where hiredis is installed redis-py sends no other, and nobody would get a lease."""
    (met,) = bson.decode(bson.encode({"fence": take(locks, "one", "a").fence})).values()
    sent: list[object] = []

    def answer(_names: Sequence[str], arguments: Sequence[object]) -> list[bytes]:
        sent.extend(arguments)
        return [b"1"]

    monkeypatch.setattr(locks, "_script", answer)
    take(locks, "two", "b", floor=met)
    assert met in sent
    assert {type(one) for one in sent} == {str, int}
    assert type(met) is not int


def test_a_floor_lifts_fences_over_a_clock_that_is_behind(
    locks: Locks, redis_server: Redis
) -> None:
    """After a new Redis with a clock a day behind: who met a fence in MongoDB is above it."""
    met = take(locks, "one", "a").fence + 24 * 3600 * 1_000_000
    redis_server.flushall()
    lifted = take(locks, "two", "a", floor=met).fence
    assert lifted == met + 1
    assert take(locks, "three", "b").fence == met + 2


def test_fences_are_exact_up_to_the_highest_and_refused_beyond(
    locks: Locks, redis_server: Redis
) -> None:
    """No rounding makes two calls share one; a counter gone wild gives no leases."""
    near = HIGHEST_FENCE - 3
    assert [take(locks, "one", "a", floor=near).fence for _ in range(3)] == [
        HIGHEST_FENCE - 2,
        HIGHEST_FENCE - 1,
        HIGHEST_FENCE,
    ]
    with pytest.raises(Unavailable, match="2\\^53"):
        take(locks, "one", "b")
    assert not redis_server.exists(LOCK + "b")
    redis_server.delete(FENCE)
    with pytest.raises(ValueError, match="is no fence"):
        take(locks, "one", "b", floor=HIGHEST_FENCE)


def test_a_lease_still_holds_under_the_highest_fences(locks: Locks) -> None:
    """Owner and fence are compared as numbers of sixteen digits, not rounded ones."""
    first = take(locks, "one", "a", floor=HIGHEST_FENCE - 3)
    second = take(locks, "two", "b", floor=HIGHEST_FENCE - 3)
    assert second.fence == first.fence + 1
    stale = Lease("two", first.fence, second.keys, {}, frozenset(), LONG, 0.0)
    assert locks.renew(stale, LONG) == {"b"}
    assert locks.renew(second, LONG) == frozenset()


def test_a_wiped_redis_frees_everything_and_the_holder_is_told(
    locks: Locks, redis_server: Redis
) -> None:
    """Nothing is left that anybody would wait for."""
    lease = take(locks, "one", "a", "b")
    redis_server.flushall()
    assert take(locks, "two", "a", "b").keys == {"a", "b"}
    assert locks.renew(lease, LONG) == {"a", "b"}


def test_a_forgotten_script_is_sent_again(locks: Locks, redis_server: Redis) -> None:
    """As after a restart of Redis, for every operation."""
    lease = take(locks, "one", "a")
    redis_server.script_flush()
    assert locks.renew(lease, LONG) == frozenset()
    redis_server.script_flush()
    locks.enlist({"batch": ["a"]})
    redis_server.script_flush()
    locks.release(lease)
    redis_server.script_flush()
    assert take(locks, "two", "a").keys == {"a"}


def test_waiting_ends_as_soon_as_the_busy_key_is_free(locks: Locks) -> None:
    """And gives everything under one fence."""
    lease = take(locks, "one", "a")
    asking = threading.Event()

    class Noticed(Locks):
        """Leases that tell when they have been asked for."""

        def _ask(self, *arguments: object) -> Lease:
            answer = super()._ask(*arguments)  # type: ignore[arg-type]
            asking.set()
            return answer

    waiter = Noticed(locks._connection, SystemClock())  # noqa: SLF001 - the same server
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.take, ["a", "b"], "two", ttl_ms=LONG, wait_ms=LONG)
        asking.wait()
        locks.release(lease)
        assert waiting.result().keys == {"a", "b"}


def test_waiting_gives_way_in_the_end(locks: Locks) -> None:
    """What was free is held, the busy is told."""
    take(locks, "one", "a")
    lease = locks.take(["a", "b"], "two", ttl_ms=LONG, wait_ms=30)
    assert (lease.keys, lease.busy) == ({"b"}, {"a": "one"})


def test_without_redis_there_are_no_leases_and_giving_back_harms_nobody() -> None:
    """Taking and renewing say so; the rest is best effort."""
    locks = Locks(connect("redis://127.0.0.1:1"), SystemClock())
    with pytest.raises(Unavailable, match="gives no leases"):
        take(locks, "one", "a")
    lease = Lease("one", 1, frozenset("a"), {}, frozenset(), LONG, 0.0)
    with pytest.raises(Unavailable, match="renews no leases"):
        locks.renew(lease, LONG)
    locks.release(lease)
    locks.enlist({"batch": ["a"]})
    locks.hand_on("batch", "other", ["a"])
    locks.leave("batch", ["a"])


def test_an_owner_needs_a_name(locks: Locks) -> None:
    """The empty one would be nobody's."""
    with pytest.raises(ValueError, match="need a name"):
        take(locks, "", "a")


def test_racing_threads_never_hold_one_key_twice(redis_server: Redis) -> None:
    """Eight of them on overlapping sets: one holder at a time, under ever higher fences.

    Each notes that it is in while it holds a key, and out before it gives it back; the
    fences under which a key was held must have come in order.
    """
    keys = [f"k{number}" for number in range(40)]
    inside: dict[str, str] = {}
    fences: dict[str, list[int]] = defaultdict(list)
    clashes: list[str] = []
    refused = itertools.count()
    start = threading.Barrier(8)

    def work(seed: int) -> None:
        draw = random.Random(seed)
        locks = Locks(redis_server, SystemClock())
        start.wait()
        for turn in range(150):
            owner = f"thread-{seed}/{turn}"
            lease = take(locks, owner, *draw.sample(keys, draw.randint(1, 25)))
            for key in lease.keys:
                if inside.setdefault(key, owner) != owner:
                    clashes.append(key)
                fences[key].append(lease.fence)
            for _ in lease.busy:
                next(refused)
            for key in lease.keys:
                inside.pop(key, None)
            locks.release(lease)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert not clashes
    assert all(given == sorted(set(given)) for given in fences.values())
    assert next(refused) > 0, "nobody ever met anybody: this was no race"
