"""The lanes, as RQ queues.

A job carries a handler's name, the batch's id and event keys, as JSON; its id is the
batch's. Every job calls one fixed entry point, and a worker refuses any other, so nobody
who can write to Redis can make a worker import something else. Redis holds nothing that
MongoDB does not: it may be wiped at any moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from pipeline.declarations import Lane
from pipeline.errors import Unavailable
from pipeline.store import Batch

ENTRY_POINT: Final = "pipeline.jobs.run"
JOB_SECONDS: Final = 600
RESULT_SECONDS: Final = 60
FAILURE_SECONDS: Final = 30 * 24 * 3600
QUEUED_SECONDS: Final = 7 * 24 * 3600
LISTED: Final = 20_000
"""Longest queue whose list is read whole to see which jobs are in it."""

log = structlog.get_logger(__name__)


def connect(url: str, *, timeout_seconds: float = 5.0) -> Redis:
    """A connection whose address is checked at once.

    Raises:
        Unavailable: nothing answers there, or it refuses us.
    """
    connection = Redis.from_url(
        url,
        socket_connect_timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        health_check_interval=30,
    )
    try:
        connection.ping()
        # A worker waits for jobs longer than this timeout, and RQ raises it for the
        # connections made from now on; the one that is open would break off each wait.
        connection.connection_pool.disconnect()
    except RedisError as error:
        connection.close()
        raise Unavailable(f"Redis does not answer within {timeout_seconds} s: {error}") from None
    return connection


class JobQueue:
    """The lanes, as RQ queues."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._lanes = {lane.value: rq_queue(lane.value, connection) for lane in Lane}

    def enqueue(self, batches: Sequence[Batch]) -> bool:
        """Enqueue batches in one round trip; doing it again is harmless.

        Returns:
            False where Redis did not take them. They stand in the outbox, so the sweeper
            enqueues them when Redis is back.
        """
        if not batches:
            return True
        try:
            with self._connection.pipeline(transaction=False) as pipe:
                for batch in batches:
                    queue = self._lanes[batch.lane]
                    FailedJobRegistry(queue=queue).remove(batch.id, pipeline=pipe)
                    queue.enqueue_many([_job_data(batch)], pipeline=pipe)
                pipe.execute()
        except RedisError as error:
            log.warning("enqueue_failed", batches=len(batches), error=str(error))
            return False
        return True

    def missing(self, batches: Sequence[Batch], live: set[str]) -> list[Batch]:
        """Which of these no job in a lane and no live worker stands for.

        Args:
            batches: batches of the outbox.
            live: ids of the jobs that live workers are running now.
        """
        listed: set[str] = set()
        for lane in {batch.lane for batch in batches}:
            queue = self._lanes[lane]
            length = self._connection.llen(queue.key)
            if length > LISTED:
                # Too long to read at every pass; what has a job is taken to be in it.
                ids = [batch.id for batch in batches if batch.lane == lane]
                listed |= {i for i, there in zip(ids, self._exist(ids), strict=True) if there}
            else:
                listed |= set(queue.get_job_ids())
        return [b for b in batches if b.id not in listed and b.id not in live]

    def lengths(self) -> dict[str, int]:
        """Jobs waiting in each lane."""
        return {name: int(self._connection.llen(q.key)) for name, q in self._lanes.items()}

    def forget_dead_executions(self, live: set[str]) -> int:
        """Drop entries of jobs that RQ believes started and no live worker runs.

        Otherwise RQ's own clean-up would some day move a job that has long been run again
        to its failed registry.
        """
        dropped = 0
        for queue in self._lanes.values():
            key = StartedJobRegistry(queue=queue).key
            members = [text(member) for member in self._connection.zrange(key, 0, -1)]
            dead = [member for member in members if member.partition(":")[0] not in live]
            if dead:
                dropped += int(self._connection.zrem(key, *dead))
        return dropped

    def _exist(self, ids: Sequence[str]) -> list[bool]:
        with self._connection.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.exists(Job.key_for(job_id))
            return [bool(there) for there in pipe.execute()]


def fetch(connection: Redis, job_id: str) -> Job | None:
    """The RQ job of this id, or None where Redis does not know it."""
    try:
        return Job.fetch(job_id, connection=connection, serializer=JSONSerializer)
    except NoSuchJobError:
        return None


def text(value: Any) -> str:
    """What Redis answered, as text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def rq_queue(name: str, connection: Redis) -> Queue:
    """The RQ queue of a lane; its jobs are JSON."""
    return Queue(name, connection=connection, serializer=JSONSerializer)


def _job_data(batch: Batch) -> Any:
    return Queue.prepare_data(
        ENTRY_POINT,
        args=(batch.handler, batch.id, list(batch.events)),
        job_id=batch.id,
        description=f"{batch.handler} on {len(batch.events)} events",
        timeout=JOB_SECONDS,
        ttl=QUEUED_SECONDS,
        result_ttl=RESULT_SECONDS,
        failure_ttl=FAILURE_SECONDS,
    )
