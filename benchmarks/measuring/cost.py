"""What Redis and MongoDB were asked to do, by their own counters."""

from __future__ import annotations

from typing import Any, Self

from pymongo import MongoClient
from redis import Redis

from benchmarks.results import Cost


class Meter:
    """Reads the servers' counters on entering and on leaving; the difference is the cost."""

    def __init__(self, client: MongoClient[dict[str, Any]], redis: Redis) -> None:
        self._client = client
        self._redis = redis
        self._before: Cost | None = None
        self.cost = Cost()

    def __enter__(self) -> Self:
        self._before = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            self.cost = difference(self._read(), self._before)

    def _read(self) -> Cost:
        commands = self._redis.info("commandstats")
        stats = self._redis.info("stats")
        status = self._client.admin.command("serverStatus")
        counters = status["opcounters"].items()
        operations = {kind: int(count) for kind, count in counters if isinstance(count, int)}
        network = status["network"]
        return Cost(
            redis_commands=sum(int(one["calls"]) for one in commands.values()),
            redis_bytes=int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"]),
            mongodb_operations=operations,
            mongodb_bytes=int(network["bytesIn"]) + int(network["bytesOut"]),
        )


def difference(after: Cost, before: Cost) -> Cost:
    """What was added; counters of a server that was started anew begin at zero again."""
    return Cost(
        redis_commands=max(0, after.redis_commands - before.redis_commands),
        redis_bytes=max(0, after.redis_bytes - before.redis_bytes),
        mongodb_operations={
            kind: max(0, count - before.mongodb_operations.get(kind, 0))
            for kind, count in after.mongodb_operations.items()
        },
        mongodb_bytes=max(0, after.mongodb_bytes - before.mongodb_bytes),
    )
