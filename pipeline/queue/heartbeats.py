"""Signs of life of workers."""

from __future__ import annotations

import contextlib
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from pipeline.queue.lanes import text


class Heartbeats:
    """A key for each worker, which expires when its worker is gone."""

    PREFIX: Final = "pipeline:worker:"

    def __init__(self, connection: Redis, lease_seconds: int) -> None:
        self._connection = connection
        self._lease = lease_seconds

    def beat(self, worker: str, job: str | None) -> None:
        """Say that the worker lives, and which job it is running."""
        self._connection.set(self.PREFIX + worker, job or "", ex=self._lease)

    def stop(self, worker: str) -> None:
        """Say that the worker has ended."""
        with contextlib.suppress(RedisError):
            self._connection.delete(self.PREFIX + worker)

    def running(self) -> dict[str, str]:
        """The job of each live worker; empty for an idle one."""
        keys = list(self._connection.scan_iter(match=f"{self.PREFIX}*", count=500))
        values = self._connection.mget(keys) if keys else []
        return {
            text(key).removeprefix(self.PREFIX): text(value)
            for key, value in zip(keys, values, strict=True)
            if value is not None
        }
