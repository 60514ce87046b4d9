"""Live work, and turns of what has to keep out of its way."""

from __future__ import annotations

from typing import Final

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from pipeline.declarations import Lane
from pipeline.queue.jobs import rq_queue

LIVE_MS: Final = 1_000
"""So long after a live job was taken, others are expected."""
TURN_MS: Final = 10_000
"""So long a turn holds at most: its worker may have died of it."""

log = structlog.get_logger(__name__)


class Traffic:
    """Tells whether there is live work, and gives turns beside it to one worker at a time.

    Where Redis does not answer there may be, and a turn is refused.

    Args:
        connection: the Redis of the lanes.
    """

    LIVE: Final = "pipeline:live"
    TURN: Final = "pipeline:turn"

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._live = [rq_queue(lane, connection).key for lane in Lane if lane is not Lane.REPAIR]

    def note(self, pipe: Pipeline) -> None:
        """Say, within a pipeline, that a live job was taken."""
        pipe.set(self.LIVE, 1, px=LIVE_MS)

    def live(self) -> bool:
        """Whether a live job waits, or was taken within the last second."""
        try:
            with self._connection.pipeline(transaction=False) as pipe:
                pipe.exists(self.LIVE)
                for lane in self._live:
                    pipe.llen(lane)
                return any(pipe.execute())
        except RedisError as error:
            log.warning("redis_away", error=str(error)[:300])
            return True

    def take_turn(self) -> bool:
        """Whether it is our turn: nobody has one, or has had one too recently."""
        try:
            return bool(self._connection.set(self.TURN, 1, nx=True, px=TURN_MS))
        except RedisError as error:
            log.warning("redis_away", error=str(error)[:300])
            return False

    def end_turn(self, rest_seconds: float) -> None:
        """End our turn; the next one, whose ever, begins after a rest."""
        try:
            self._connection.set(self.TURN, 1, px=max(1, round(rest_seconds * 1000)))
        except RedisError as error:
            log.warning("redis_away", error=str(error)[:300])
