"""Lines on a real Redis: the order of tickets is kept, and nothing blocks for ever."""

import itertools
from collections.abc import Sequence

import pytest
from redis import Redis

from pipeline.clock import SystemClock
from pipeline.locks import Lease, Locks
from pipeline.locks.locks import LINE, LINE_MS, LOCK, PATIENCE_MS

LONG = 60_000  # milliseconds; no test lasts so long
PATIENCE = PATIENCE_MS * 1000  # microseconds


@pytest.fixture
def locks(redis_server: Redis) -> Locks:
    """Give leases on an empty Redis."""
    return Locks(redis_server, SystemClock())


def take(locks: Locks, ticket: str, *keys: str) -> Lease:
    """Take keys in the order of lines, as a run of this ticket."""
    return locks.take(keys, f"run of {ticket}", ttl_ms=LONG, ticket=ticket)


def finish(locks: Locks, ticket: str, lease: Lease) -> None:
    """Give all back, as at the end of a batch."""
    locks.leave(ticket, lease.keys)
    locks.release(lease)


def line(redis: Redis, key: str) -> list[str]:
    """The tickets of a line, in order."""
    return [ticket.decode() for ticket in redis.zrangebyscore(LINE + key, 0, "+inf")]


def lines(redis: Redis, *keys: str) -> Sequence[list[str]]:
    """The tickets of several lines."""
    return [line(redis, key) for key in keys]


def let_idle(redis: Redis, key: str, microseconds: int) -> None:
    """Let it be this much longer that the key was asked for in vain."""
    assert redis.zscore(LINE + key, "") is not None
    redis.zincrby(LINE + key, microseconds, "")


def idle(redis: Redis, key: str) -> bool:
    """Whether the key counts as free, asked for and not taken."""
    return redis.zscore(LINE + key, "") is not None


def test_a_key_goes_to_tickets_in_the_order_in_which_they_were_enlisted(locks: Locks) -> None:
    """Whichever of them asks first."""
    tickets = ["t1", "t2", "t3"]
    locks.enlist({ticket: ["a"] for ticket in tickets})
    served = []
    while len(served) < len(tickets):
        for ticket in reversed(tickets):
            if ticket not in served and (lease := take(locks, ticket, "a")).keys:
                finish(locks, ticket, lease)
                served.append(ticket)
    assert served == tickets


def test_who_stands_behind_is_told_whose_turn_it_is(locks: Locks) -> None:
    """A ticket that is waited for is told apart from an owner who works."""
    locks.enlist({"t1": ["a", "b"], "t2": ["a", "b", "c"]})
    holder = locks.take(["b"], "somebody", ttl_ms=LONG)
    lease = take(locks, "t2", "a", "b", "c")
    assert lease.keys == {"c"}
    assert lease.busy == {"a": "t1", "b": holder.owner}
    assert lease.behind == {"a"}


def test_enlisting_twice_changes_nothing(locks: Locks, redis_server: Redis) -> None:
    """No ticket stands in a line twice, or loses its place."""
    for _ in range(3):
        locks.enlist({"t1": ["a", "b", "a"], "t2": ["b"], "t3": []})
    assert lines(redis_server, "a", "b") == [["t1"], ["t1", "t2"]]


def test_a_key_without_a_line_is_free_for_everybody(locks: Locks, redis_server: Redis) -> None:
    """As after a wipe: with a ticket or without."""
    locks.enlist({"t1": ["a", "b"]})
    redis_server.flushall()
    assert take(locks, "t2", "a").keys == {"a"}
    assert locks.take(["b"], "anybody", ttl_ms=LONG).keys == {"b"}


def test_who_asks_for_no_order_does_not_wait_in_line(locks: Locks) -> None:
    """A line is for handlers that want one."""
    locks.enlist({"t1": ["a"]})
    assert locks.take(["a"], "anybody", ttl_ms=LONG).keys == {"a"}


def test_who_is_refused_keeps_or_gets_a_place(locks: Locks, redis_server: Redis) -> None:
    """So whoever came first is served first, also where nobody was enlisted."""
    holder = locks.take(["a"], "somebody", ttl_ms=LONG)
    for ticket in ("t1", "t2", "t1"):
        assert take(locks, ticket, "a").busy == {"a": "somebody"}
    assert line(redis_server, "a") == ["t1", "t2"]
    locks.release(holder)
    assert take(locks, "t2", "a").busy == {"a": "t1"}
    assert take(locks, "t1", "a").keys == {"a"}
    locks.enlist({"t1": ["b"]})
    assert take(locks, "t2", "b").busy == {"b": "t1"}
    assert line(redis_server, "b") == ["t1", "t2"]


def test_who_takes_a_free_key_makes_no_line(locks: Locks, redis_server: Redis) -> None:
    """The common case leaves nothing behind."""
    finish(locks, "t1", take(locks, "t1", "a"))
    assert redis_server.keys("pipeline:l*") == []


def test_a_ticket_keeps_its_turn_when_its_worker_dies(locks: Locks, redis_server: Redis) -> None:
    """The batch is run again, and before those behind it."""
    locks.enlist({"t1": ["a"], "t2": ["a"]})
    assert take(locks, "t1", "a").keys == {"a"}
    redis_server.pexpire(LOCK + "a", 0)
    assert take(locks, "t2", "a").busy == {"a": "t1"}
    assert locks.take(["a"], "another run of t1", ttl_ms=LONG, ticket="t1").keys == {"a"}


def test_who_leaves_makes_room(locks: Locks, redis_server: Redis) -> None:
    """From any place, and an empty line is gone."""
    locks.enlist({"t1": ["a"], "t2": ["a"], "t3": ["a"]})
    locks.leave("t2", ["a", "nowhere"])
    assert line(redis_server, "a") == ["t1", "t3"]
    locks.leave("t1", ["a"])
    assert take(locks, "t3", "a").keys == {"a"}
    locks.leave("t3", ["a"])
    assert not redis_server.exists(LINE + "a")


def test_places_can_be_handed_on(locks: Locks, redis_server: Redis) -> None:
    """Events that leave their batch keep their turn; without a place they join at the end."""
    locks.enlist({"t1": ["a", "b"], "t2": ["a", "b", "c"], "t3": ["a"]})
    locks.hand_on("t1", "t1-part", ["a", "c"])
    assert lines(redis_server, "a", "b", "c") == [
        ["t1-part", "t2", "t3"],
        ["t1", "t2"],
        ["t2", "t1-part"],
    ]
    locks.hand_on("t2", "t2", ["a"])
    assert line(redis_server, "a") == ["t1-part", "t2", "t3"]


def test_a_ticket_can_be_followed_by_another(locks: Locks, redis_server: Redis) -> None:
    """The second part of a batch that is cut comes before those that stood behind it."""
    locks.enlist({"t1": ["a", "b"], "t2": ["a", "b"], "t3": ["a"]})
    locks.follow("t1", "t1-part", ["a", "c"])
    assert lines(redis_server, "a", "b", "c") == [
        ["t1", "t1-part", "t2", "t3"],
        ["t1", "t2"],
        ["t1-part"],
    ]
    locks.follow("t2", "t1", ["a"])
    locks.follow("t1", "t3", ["a"])
    assert line(redis_server, "a") == ["t1", "t3", "t1-part", "t2"]


def test_of_two_places_the_better_one_stays(locks: Locks, redis_server: Redis) -> None:
    """Whether it was the giver's or the taker's."""
    locks.enlist({"t1": ["a"], "t2": ["a", "b"], "t3": ["b"], "t4": ["a", "b"]})
    locks.hand_on("t1", "t4", ["a"])
    locks.hand_on("t4", "t2", ["b"])
    assert lines(redis_server, "a", "b") == [["t4", "t2"], ["t2", "t3"]]


def test_every_line_has_an_end(locks: Locks, redis_server: Redis) -> None:
    """Also one that was handed on, or only joined."""

    def ends() -> list[int]:
        return [redis_server.pttl(key) for key in redis_server.keys(LINE + "*")]

    locks.enlist({"t1": ["a", "b"]})
    locks.hand_on("t1", "t2", ["a", "c"])
    assert [0 < end <= LINE_MS for end in ends()] == [True] * 3
    for key in redis_server.keys(LINE + "*"):
        redis_server.pexpire(key, 1_000)
    take(locks, "t3", "a", "b", "c")
    assert [1_000 < end <= LINE_MS for end in ends()] == [True] * 3


def test_a_first_ticket_is_waited_for_within_the_patience(
    locks: Locks, redis_server: Redis
) -> None:
    """However often others ask."""
    locks.enlist({"t1": ["a"], "t2": ["a"]})
    assert [take(locks, "t2", "a").keys for _ in range(5)] == [frozenset()] * 5
    let_idle(redis_server, "a", PATIENCE // 2)
    assert take(locks, "t2", "a").behind == {"a"}
    assert take(locks, "t1", "a").keys == {"a"}


def test_a_first_ticket_that_never_comes_is_dropped(locks: Locks, redis_server: Redis) -> None:
    """Its batch is gone; those behind it go on in their order."""
    locks.enlist({"dead": ["a"], "t2": ["a"], "t3": ["a"]})
    assert take(locks, "t3", "a").busy == {"a": "dead"}
    let_idle(redis_server, "a", PATIENCE)
    assert take(locks, "t3", "a").busy == {"a": "t2"}
    assert line(redis_server, "a") == ["t2", "t3"]
    assert take(locks, "t2", "a").keys == {"a"}
    assert not idle(redis_server, "a")


def test_those_behind_a_dead_ticket_have_a_tenth_of_the_patience(
    locks: Locks, redis_server: Redis
) -> None:
    """Many that died together block hardly longer than one."""
    dead = [f"dead-{number}" for number in range(20)]
    locks.enlist({ticket: ["a"] for ticket in [*dead, "alive"]})
    take(locks, "alive", "a")
    let_idle(redis_server, "a", PATIENCE)
    for ticket in dead[1:]:
        assert take(locks, "alive", "a").busy == {"a": ticket}
        assert take(locks, "alive", "a").busy == {"a": ticket}
        let_idle(redis_server, "a", PATIENCE // 10)
    assert take(locks, "alive", "a").keys == {"a"}


def test_the_time_of_a_holder_is_nobodys_fault(locks: Locks, redis_server: Redis) -> None:
    """While the key is held the ticket whose turn it is can't take it."""
    locks.enlist({"t1": ["a"], "t2": ["a"]})
    take(locks, "t2", "a")
    assert idle(redis_server, "a")
    locks.take(["a"], "somebody", ttl_ms=LONG)
    assert take(locks, "t2", "a").busy == {"a": "somebody"}
    assert not idle(redis_server, "a")


def test_whoever_comes_first_next_has_a_patience_of_its_own(
    locks: Locks, redis_server: Redis
) -> None:
    """The time of one that left is not counted against it."""
    locks.enlist({"t1": ["a"], "t2": ["a"], "t3": ["a"]})
    take(locks, "t3", "a")
    locks.leave("t2", ["a"])
    assert idle(redis_server, "a")
    locks.leave("t1", ["a"])
    assert not idle(redis_server, "a")


def test_a_clock_that_went_back_starts_the_patience_anew(locks: Locks, redis_server: Redis) -> None:
    """Instead of making everybody wait for as long as it went back."""
    locks.enlist({"t1": ["a"], "t2": ["a"]})
    take(locks, "t2", "a")
    let_idle(redis_server, "a", -100 * PATIENCE)
    take(locks, "t2", "a")
    let_idle(redis_server, "a", PATIENCE)
    assert take(locks, "t2", "a").keys == {"a"}


def test_without_patience_the_second_asking_gets_the_key(redis_server: Redis) -> None:
    """The bound can be set."""
    locks = Locks(redis_server, SystemClock(), patience_ms=0)
    locks.enlist({"dead": ["a"], "t2": ["a"]})
    assert [bool(take(locks, "t2", "a").keys) for _ in range(2)] == [False, True]


@pytest.mark.parametrize("names", list(itertools.product(["", "t"], repeat=2))[:3])
def test_a_ticket_needs_a_name(locks: Locks, names: tuple[str, str]) -> None:
    """The empty name has a meaning of its own in a line."""
    with pytest.raises(ValueError, match="need a name"):
        locks.hand_on(*names, ["a"])
    with pytest.raises(ValueError, match="need a name"):
        locks.enlist({"t": ["a"], "": ["a"]})
    with pytest.raises(ValueError, match="need a name"):
        take(locks, "", "a")


def test_a_ticket_may_have_any_name_and_the_key_too(locks: Locks) -> None:
    """Spaces, colons and letters of any alphabet."""
    locks.enlist({"ü 1": ["a:b c"], "0": ["a:b c"]})
    assert take(locks, "0", "a:b c").busy == {"a:b c": "ü 1"}
