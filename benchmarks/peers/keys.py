"""What a peer leaves in Redis is removed by its name: the server is not ours alone."""

from __future__ import annotations

from typing import Final

from redis import Redis

AT_ONCE: Final = 1_000


def remove_keys(redis: Redis, pattern: str) -> None:
    """Remove all keys that match.

    Args:
        redis: where.
        pattern: as `SCAN` takes it.
    """
    for key in redis.scan_iter(pattern, count=AT_ONCE):
        redis.unlink(key)
