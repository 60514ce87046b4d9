"""Readings of the counts, kept in Redis: an hour in small steps, a day in larger ones.

They stand beside the counts that they are readings of, so a wipe takes both, and the course
begins anew. Whoever leads the sweepers takes them; two at once would do no harm.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final, NamedTuple

from redis import Redis

from pipeline.declarations import Lane
from pipeline.metrics.readings import Reading, reading_of
from pipeline.queue.jobs import rq_queue
from pipeline.queue.text import text
from pipeline.queue.totals import TOTALS


class Ring(NamedTuple):
    """The readings of some time, the oldest of which give way to new ones.

    Attributes:
        name: as visitors choose it.
        seconds: for how long a reading is kept.
        step: seconds between two readings.
    """

    name: str
    seconds: int
    step: int

    @property
    def key(self) -> str:
        """Where it is in Redis; the number counts up with the edges or the form of a reading."""
        return f"pipeline:metrics:1:readings:{self.name}"

    @property
    def most(self) -> int:
        """How many readings it has room for: one more than steps."""
        return self.seconds // self.step + 1


RINGS: Final = {ring.name: ring for ring in (Ring("hour", 3600, 10), Ring("day", 86_400, 120))}


class Readings:
    """The readings of a pipeline.

    Args:
        connection: the Redis of the lanes.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def take(self, now: datetime) -> bool:
        """Take a reading for each ring whose step is over; whether one was taken.

        One round trip where nothing is due, else three.

        Raises:
            redis.RedisError: Redis is away.
        """
        at = now.timestamp()
        due = [ring for ring, last in self._newest().items() if _is_due(last, at, ring.step)]
        if due:
            self.keep(self._read(at), due)
        return bool(due)

    def keep(self, reading: Reading, rings: list[Ring]) -> None:
        """Keep a reading in these rings.

        Raises:
            redis.RedisError: Redis is away.
        """
        told = json.dumps(reading._asdict(), separators=(",", ":"))
        with self._connection.pipeline() as pipe:
            for ring in rings:
                pipe.rpush(ring.key, told)
                pipe.ltrim(ring.key, -ring.most, -1)
                pipe.expire(ring.key, ring.seconds)
            pipe.execute()

    def of(self, ring: Ring) -> list[Reading]:
        """What a ring holds, in the order of time; of one moment only one.

        Raises:
            redis.RedisError: Redis is away.
        """
        told = self._connection.lrange(ring.key, 0, -1)
        found = {one.at: one for one in (Reading(**json.loads(line)) for line in told)}
        return [found[at] for at in sorted(found)]

    def newest(self) -> float | None:
        """When the last reading was taken, in seconds since 1970; None for never.

        Raises:
            redis.RedisError: Redis is away.
        """
        return max((at for at in self._newest().values() if at is not None), default=None)

    def _newest(self) -> dict[Ring, float | None]:
        with self._connection.pipeline(transaction=False) as pipe:
            for ring in RINGS.values():
                pipe.lindex(ring.key, -1)
            told = pipe.execute()
        last = [None if one is None else float(json.loads(one)["at"]) for one in told]
        return dict(zip(RINGS.values(), last, strict=True))

    def _read(self, at: float) -> Reading:
        lanes = [lane.value for lane in Lane]
        with self._connection.pipeline(transaction=False) as pipe:
            pipe.hgetall(TOTALS)
            for lane in lanes:
                pipe.llen(rq_queue(lane, self._connection).key)
            totals, *lengths = pipe.execute()
        counted = {text(name): float(n) for name, n in totals.items()}
        return reading_of(counted, dict(zip(lanes, lengths, strict=True)), at)


def _is_due(last: float | None, at: float, step: int) -> bool:
    """Whether a step is over; a clock that was put back does not end the readings."""
    return last is None or not 0 <= at - last < step
