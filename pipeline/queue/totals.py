"""What all processes have counted together, in two hashes of Redis.

A process sends its counts with what it sends anyway, in one command of that round trip. Where
Redis fails in between they may be counted twice; where a process is killed, what it had not
sent is lost. After a wipe all begins at zero, as Prometheus expects of a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from pipeline.metrics import Counts, Taken
from pipeline.queue.scripts import script
from pipeline.queue.text import text

TOTALS: Final = "pipeline:metrics:1:totals"
LAST: Final = "pipeline:metrics:1:last"
"""The number counts up when the edges of a histogram change: old counts fit no new buckets."""

BETWEEN: Final = "\x1e"
"""Between fields and numbers; in no name and no label."""

_SCRIPT: Final = script("totals")


class Read(NamedTuple):
    """Totals, and last values, by field."""

    totals: Mapping[str, float]
    last: Mapping[str, str]


@contextmanager
def sending(counts: Counts, pipe: Pipeline) -> Iterator[None]:
    """Send what was counted with a pipeline that is executed within; keep it if that fails."""
    taken = counts.take()
    _add(taken, pipe)
    try:
        yield
    except RedisError:
        counts.give_back(taken)
        raise


def flush(counts: Counts, connection: Redis) -> None:
    """Send what was counted and nothing else.

    Raises:
        redis.RedisError: Redis is away, and nothing is lost.
    """
    with connection.pipeline(transaction=False) as pipe, sending(counts, pipe):
        pipe.execute()


def read(connection: Redis) -> Read:
    """What was counted, in one round trip.

    Raises:
        redis.RedisError: Redis is away.
    """
    with connection.pipeline(transaction=False) as pipe:
        pipe.hgetall(TOTALS)
        pipe.hgetall(LAST)
        totals, last = pipe.execute()
    return Read(
        {text(name): float(n) for name, n in totals.items()},
        {text(name): text(value) for name, value in last.items()},
    )


def _add(taken: Taken, pipe: Pipeline) -> None:
    if not taken:
        return
    # As one text: the client takes longer over each argument than Redis does to part them.
    added = BETWEEN.join(
        f"{name}{BETWEEN}{n:.6f}" if isinstance(n, float) else f"{name}{BETWEEN}{n}"
        for name, n in taken.added.items()
    )
    noted = [part for note in taken.noted.items() for part in note]
    pipe.eval(_SCRIPT, 2, TOTALS, LAST, added, *noted)
