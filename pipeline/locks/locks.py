"""Leases on many keys at once, in one round trip to Redis.

What is atomic, and why it is right, stands in `locks.lua`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from pipeline.clock import Clock
from pipeline.errors import SettingError, Unavailable

FENCE: Final = "pipeline:fence"
LOCK: Final = "pipeline:lock:"
LINE: Final = "pipeline:line:"

HIGHEST_FENCE: Final = 2**53 - 1
"""What a double in Lua holds exactly; see `locks.lua`."""
PATIENCE_MS: Final = 30_000
"""How long a free key that is asked for waits for the ticket whose turn it is."""
LINE_MS: Final = 24 * 3600 * 1000
"""How long a line stays after the last ticket joined it."""
ANSWER_SECONDS: Final = 1.0
SHORTEST_PAUSE: Final = 0.005
LONGEST_PAUSE: Final = 0.02
"""Seconds between two looks at a few busy keys, at most."""
PAUSE_A_KEY: Final = 0.0002
"""Likewise at many, for each of them: Redis takes its time over every one."""

SCRIPT: Final = files(__package__).joinpath("locks.lua").read_text(encoding="utf-8")

log = structlog.get_logger(__name__)


def connect(url: str) -> Redis:
    """A connection for leases alone, which answers soon or not at all.

    RQ raises the timeout of its connection to minutes, and redis-py tries for seconds by
    default; leases are not worth that. One more try is for a connection gone stale.

    Raises:
        SettingError: that is no address of a Redis.
    """
    try:
        return Redis.from_url(
            url,
            socket_connect_timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError:  # its text may hold a part of the password
        raise SettingError("PIPELINE_REDIS_URL is no address of a Redis") from None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to be undisturbed on some keys for some time.

    Attributes:
        owner: who has it.
        fence: greater than that of every lease given before.
        keys: what is held.
        busy: what was asked for and is not held, each with who has it: the owner of a
            lease or, for keys in `behind`, the ticket whose turn it is.
        behind: those busy keys that nobody holds; another ticket stands first in their line.
        ttl_ms: for how many milliseconds it was given.
        until: monotonic seconds of this process at which it ends unless it is renewed;
            counted from before Redis was asked, so Redis ends it a little later.
    """

    owner: str
    fence: int
    keys: frozenset[str]
    busy: Mapping[str, str]
    behind: frozenset[str]
    ttl_ms: int
    until: float


class Locks:
    """Leases and lines in one Redis.

    Args:
        connection: to Redis, not decoding; may be shared by threads. See `connect`.
        clock: monotonic time, for the end of leases.
        patience_ms: how long a free key that is asked for waits for the ticket whose turn
            it is, before that ticket is dropped.
    """

    def __init__(self, connection: Redis, clock: Clock, *, patience_ms: int = PATIENCE_MS) -> None:
        self._connection = connection
        self._clock = clock
        self._patience = patience_ms
        self._script = connection.register_script(SCRIPT)

    def take(
        self,
        keys: Iterable[str],
        owner: str,
        *,
        ttl_ms: int,
        floor: int = 0,
        ticket: str | None = None,
        wait_ms: int = 0,
    ) -> Lease:
        """Take those of the keys that are free or ours already, in one round trip.

        Taking more with the same owner is allowed; what is held already is prolonged.

        Args:
            keys: ids, each of which one owner has at a time.
            owner: who asks; a name that no other run uses at the same time.
            ttl_ms: for how long, in milliseconds, unless it is renewed.
            floor: a fence seen elsewhere, such as in MongoDB; the new one is above it.
            ticket: our place in the keys' lines. A key is then ours only if no other
                ticket stands before it, and where we are refused we keep or get a place.
            wait_ms: how long to ask again for busy keys before giving way, in milliseconds;
                what is held meanwhile is prolonged by each asking.

        Raises:
            Unavailable: Redis gives no leases now; go on without one.
            ValueError: the floor is no fence, or a name is empty.
        """
        if not 0 <= floor < HIGHEST_FENCE:
            raise ValueError(f"{floor} is no fence")
        _check_names(owner, *([] if ticket is None else [ticket]))
        wanted = tuple(dict.fromkeys(keys))
        left, pause = wait_ms / 1000, SHORTEST_PAUSE
        longest = max(LONGEST_PAUSE, PAUSE_A_KEY * len(wanted))
        while True:
            lease = self._ask(wanted, owner, ttl_ms, floor, ticket)
            if not lease.busy or left <= 0:
                return lease
            # Spread, so that several who wait for the same key don't ask in step.
            nap = min(left, pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            time.sleep(nap)
            left, pause = left - nap, min(longest, pause * 2)

    def _ask(
        self, keys: Sequence[str], owner: str, ttl_ms: int, floor: int, ticket: str | None
    ) -> Lease:
        asked = self._clock.monotonic()
        names = [FENCE, *(LOCK + key for key in keys)]
        if ticket is not None:
            names += [LINE + key for key in keys]
        # As MongoDB gives it, it is of a kind of int that redis-py does not send through hiredis.
        arguments = (owner, ttl_ms, int(floor), ticket or "", self._patience, LINE_MS)
        try:
            fence, *refused = self._script(names, ("take", *arguments))
        except RedisError as error:
            raise Unavailable(f"Redis gives no leases: {error}") from error
        numbers, holders, waiting = refused[::3], refused[1::3], refused[2::3]
        busy = {
            keys[number - 1]: holder.decode()
            for number, holder in zip(numbers, holders, strict=True)
        }
        return Lease(
            owner=owner,
            fence=int(fence),
            keys=frozenset(keys) - busy.keys(),
            busy=busy,
            behind=frozenset(key for key, behind in zip(busy, waiting, strict=True) if behind),
            ttl_ms=ttl_ms,
            until=asked + ttl_ms / 1000,
        )

    def renew(self, lease: Lease, ttl_ms: int) -> frozenset[str]:
        """Prolong what is still held under this lease, to `ttl_ms` from now.

        Returns:
            The keys that are lost: expired, wiped, or another's meanwhile. A key that its
            owner lost and took anew is lost for the older lease.

        Raises:
            Unavailable: Redis did not answer; it is unknown what is held.
        """
        keys = sorted(lease.keys)
        arguments = ("renew", lease.owner, lease.fence, ttl_ms)
        try:
            lost = self._script([LOCK + key for key in keys], arguments)
        except RedisError as error:
            raise Unavailable(f"Redis renews no leases: {error}") from error
        return frozenset(keys[number - 1] for number in lost)

    def release(self, lease: Lease) -> None:
        """Give back what is still held under this lease, and nothing that is another's.

        What the same owner took anew without a break is given back as well. A failure is
        logged only: the lease ends by itself.
        """
        self._harmlessly("release", LOCK, lease.keys, lease.owner, lease.fence)

    def enlist(self, keys_by_ticket: Mapping[str, Sequence[str]]) -> None:
        """Put each ticket at the end of its keys' lines, in the mapping's order.

        Done again it changes nothing. A failure is logged only: a key without a line is
        free for everybody, and order is kept as well as can be.
        """
        _check_names(*keys_by_ticket)
        try:
            with self._connection.pipeline(transaction=False) as pipe:
                for ticket, keys in keys_by_ticket.items():
                    lines = [LINE + key for key in keys]
                    self._script(lines, ("enlist", ticket, LINE_MS), client=pipe)
                pipe.execute()
        except RedisError as error:
            log.warning(
                "lock_call_failed", call="enlist", tickets=len(keys_by_ticket), error=str(error)
            )

    def hand_on(self, ticket: str, other: str, keys: Iterable[str]) -> None:
        """Give a ticket's places in these keys' lines to another ticket.

        For events that leave their batch for one of their own: they keep their turn. Where
        the ticket has no place, the other joins at the end. A failure is logged only.
        """
        _check_names(ticket, other)
        self._harmlessly("hand_on", LINE, keys, ticket, other, LINE_MS)

    def follow(self, ticket: str, other: str, keys: Iterable[str]) -> None:
        """Put another ticket right behind a ticket in these keys' lines.

        For a batch that is cut: its second part comes before whoever stood behind it. Where
        the ticket has no place, the other joins at the end. A failure is logged only.
        """
        _check_names(ticket, other)
        self._harmlessly("follow", LINE, keys, ticket, other, LINE_MS)

    def leave(self, ticket: str, keys: Iterable[str]) -> None:
        """Take a ticket out of these keys' lines.

        A failure is logged only: the ticket is dropped once it has kept others waiting for
        the patience.
        """
        self._harmlessly("leave", LINE, keys, ticket)

    def _harmlessly(
        self, operation: str, prefix: str, keys: Iterable[str], *arguments: str | int
    ) -> None:
        names = [prefix + key for key in keys]
        try:
            self._script(names, (operation, *arguments))
        except RedisError as error:
            log.warning("lock_call_failed", call=operation, keys=len(names), error=str(error))


def _check_names(*names: str) -> None:
    """The empty name is no ticket's: in a line it marks an idle key."""
    if not all(names):
        raise ValueError("an owner and a ticket need a name")
