"""Any sequence of operations on a real Redis, against a model of ten lines of Python."""

from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from pipeline.clock import SystemClock
from pipeline.locks import Lease, Locks
from pipeline.locks.locks import LINE, LOCK

LONG = 600_000  # milliseconds; no test lasts so long

keys = st.sampled_from("abcd")
key_sets = st.lists(keys, max_size=4)
owners = st.sampled_from(["one", "two", "three"])
tickets = st.sampled_from(["t1", "t2", "t3"])


class LocksAgainstModel(RuleBasedStateMachine):
    """What Redis says and what the model says, after every step.

    The model knows by key who holds it and since which fence, and by key the tickets in
    line. Patience never ends here.
    """

    redis: ClassVar[Redis]
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushall()
        self.locks = Locks(self.redis, SystemClock(), patience_ms=LONG)
        self.holders: dict[str, tuple[str, int]] = {}
        self.lines: dict[str, list[str]] = {}
        self.fence = 0

    @rule(target=leases, wanted=key_sets, owner=owners, ticket=st.none() | tickets)
    def take(self, wanted: list[str], owner: str, ticket: str | None) -> Lease:
        """What is free or ours is ours; who is refused with a ticket stands in line."""
        lease = self.locks.take(wanted, owner, ttl_ms=LONG, ticket=ticket)
        assert lease.fence > self.fence
        self.fence = lease.fence
        busy, behind = {}, set()
        for key in set(wanted):
            holder, line = self.holders.get(key), self.lines.get(key, [])
            if holder is not None and holder[0] != owner:
                busy[key] = holder[0]
            elif holder is None and ticket and line and line[0] != ticket:
                busy[key] = line[0]
                behind.add(key)
            elif holder is None:
                self.holders[key] = (owner, lease.fence)
            if ticket and key in busy and ticket not in line:
                self.lines.setdefault(key, []).append(ticket)
        assert lease.busy == busy
        assert lease.behind == behind
        assert lease.keys == set(wanted) - busy.keys()
        return lease

    def held(self, lease: Lease) -> set[str]:
        """The keys of a lease that its owner has held ever since."""
        mine = {k: self.holders.get(k, ("", 0)) for k in lease.keys}
        return {
            key
            for key, (owner, since) in mine.items()
            if owner == lease.owner and since <= lease.fence
        }

    @rule(lease=leases)
    def renew(self, lease: Lease) -> None:
        """Exactly the keys not held since are told."""
        assert self.locks.renew(lease, LONG) == lease.keys - self.held(lease)

    @rule(lease=leases)
    def release(self, lease: Lease) -> None:
        """Exactly the keys held since become free."""
        for key in self.held(lease):
            del self.holders[key]
        self.locks.release(lease)

    @rule(key=keys)
    def expire(self, key: str) -> None:
        """A lease ends."""
        self.redis.pexpire(LOCK + key, 0)
        self.holders.pop(key, None)

    @rule(target=leases)
    def wipe(self) -> object:
        """Redis is empty, and has forgotten the script."""
        self.redis.flushall()
        self.redis.script_flush()
        self.holders, self.lines = {}, {}
        return multiple()

    @rule(wanted=st.dictionaries(tickets, key_sets, max_size=3))
    def enlist(self, wanted: dict[str, list[str]]) -> None:
        """At the end, once."""
        self.locks.enlist(wanted)
        for ticket, line_keys in wanted.items():
            for key in line_keys:
                line = self.lines.setdefault(key, [])
                if ticket not in line:
                    line.append(ticket)

    @rule(ticket=tickets, wanted=key_sets)
    def leave(self, ticket: str, wanted: list[str]) -> None:
        """From wherever it stands."""
        self.locks.leave(ticket, wanted)
        for key in wanted:
            if ticket in self.lines.get(key, []):
                self.lines[key].remove(ticket)

    @rule(ticket=tickets, other=tickets, wanted=st.lists(keys, max_size=4, unique=True))
    def hand_on(self, ticket: str, other: str, wanted: list[str]) -> None:
        """The better of both places; at the end where there is none."""
        self.locks.hand_on(ticket, other, wanted)
        for key in wanted:
            line = self.lines.setdefault(key, [])
            if ticket in line:
                line[line.index(ticket)] = other
                self.lines[key] = list(dict.fromkeys(line))
            elif other not in line:
                line.append(other)

    @rule(ticket=tickets, other=tickets, wanted=st.lists(keys, max_size=4, unique=True))
    def follow(self, ticket: str, other: str, wanted: list[str]) -> None:
        """Right behind it, or where it is if that is before; at the end where there is none."""
        self.locks.follow(ticket, other, wanted)
        for key in wanted:
            line = self.lines.setdefault(key, [])
            if ticket in line and other not in line[: line.index(ticket) + 1]:
                self.lines[key] = [one for one in line if one != other]
                self.lines[key].insert(self.lines[key].index(ticket) + 1, other)
            elif other not in line:
                line.append(other)

    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        """Holders, lines in order, and an end for each."""
        with self.redis.pipeline() as pipe:
            for key in "abcd":
                pipe.get(LOCK + key).pttl(LOCK + key)
                pipe.zrangebyscore(LINE + key, 0, "+inf").pttl(LINE + key)
            found = pipe.execute()
        columns = (found[column::4] for column in range(4))
        for key, value, lease_end, line, line_end in zip("abcd", *columns, strict=True):
            since, owner = value.decode().split(" ", 1) if value else ("0", None)
            assert (owner, int(since)) == self.holders.get(key, (None, 0))
            assert [ticket.decode() for ticket in line] == self.lines.get(key, [])
            assert (lease_end > 0, line_end > 0) == (bool(value), bool(line))


@pytest.fixture
def machine(redis_server: Redis) -> Iterator[type[LocksAgainstModel]]:
    """Give the machine its Redis."""
    LocksAgainstModel.redis = redis_server
    yield LocksAgainstModel
    del LocksAgainstModel.redis


def test_any_sequence_of_operations_does_what_the_model_does(
    machine: type[LocksAgainstModel],
) -> None:
    """Taking, renewing, giving back, expiring, wiping, and standing in line."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
