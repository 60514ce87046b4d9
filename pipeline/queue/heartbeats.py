"""Signs of life of workers."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from pipeline.queue.text import text

SUSPECT_SECONDS: Final = 3600


class Heartbeats:
    """A key for each worker, which expires when its worker is gone.

    In a batch that a worker died of, the next one also notes which event it is looking at.
    """

    PREFIX: Final = "pipeline:worker:"
    SUSPECT: Final = "pipeline:suspect:"

    def __init__(self, connection: Redis, lease_seconds: int) -> None:
        self._connection = connection
        self._lease = lease_seconds

    def beat(self, worker: str, jobs: Sequence[str], pipe: Pipeline | None = None) -> None:
        """Say that the worker lives, and which jobs it is running; maybe in a pipeline."""
        connection = self._connection if pipe is None else pipe
        connection.set(self.PREFIX + worker, " ".join(jobs), ex=self._lease)

    def stop(self, worker: str) -> None:
        """Say that the worker has ended."""
        with contextlib.suppress(RedisError):
            self._connection.delete(self.PREFIX + worker)

    def suspect(self, batch: str, event: str) -> None:
        """Note which event a handler is about to see, in a batch that a worker died of."""
        self._connection.set(self.SUSPECT + batch, event, ex=SUSPECT_SECONDS)

    def suspects(self, batches: Sequence[str]) -> list[str | None]:
        """The event noted last for each batch, if any."""
        found = self._connection.mget([self.SUSPECT + batch for batch in batches])
        return [None if event is None else text(event) for event in found]

    def running(self) -> dict[str, list[str]]:
        """The jobs of each live worker; none for an idle one."""
        keys = list(self._connection.scan_iter(match=f"{self.PREFIX}*", count=500))
        values = self._connection.mget(keys) if keys else []
        return {
            text(key).removeprefix(self.PREFIX): text(value).split()
            for key, value in zip(keys, values, strict=True)
            if value is not None
        }
