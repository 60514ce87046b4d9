"""How the lanes and workers stand now, in two round trips, however many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from redis import Redis
from rq.job import Job
from rq.registry import FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.utils import utcparse
from rq.worker import BaseWorker

from pipeline.declarations import Lane
from pipeline.queue.heartbeats import Heartbeats
from pipeline.queue.jobs import rq_queue
from pipeline.queue.text import text

MOST_STARTED: Final = 200
"""Started jobs of a lane that are looked at; a worker has a few hundred small ones at most."""


class LaneStanding(NamedTuple):
    """One lane.

    Attributes:
        jobs: how many, by state: queued, started, scheduled, failed.
        head: id of the batch that is taken next; None where none waits.
        head_since: since when that one is in the lane.
        started: ids of batches that are being run.
        orphaned: how many of them are not, since their workers are gone.
    """

    jobs: Mapping[str, int]
    head: str | None
    head_since: datetime | None
    started: Sequence[str]
    orphaned: int


class Memory(NamedTuple):
    """What Redis says of its memory: bytes used, most bytes (0: no limit), keys evicted."""

    used: int
    most: int
    evicted: int


class Standing(NamedTuple):
    """All lanes, by name; how many workers are busy and idle; Redis itself."""

    lanes: Mapping[str, LaneStanding]
    workers: Mapping[str, int]
    memory: Memory


def standing(connection: Redis) -> Standing:
    """Look; changes nothing, in RQ's registries neither.

    Raises:
        redis.RedisError: Redis is away.
    """
    lanes = [lane.value for lane in Lane]
    with connection.pipeline(transaction=False) as pipe:
        for lane in lanes:
            queue = rq_queue(lane, connection)
            started = StartedJobRegistry(queue=queue).key
            pipe.llen(queue.key)
            pipe.zcard(started)
            pipe.zcard(ScheduledJobRegistry(queue=queue).key)  # type: ignore[no-untyped-call]
            pipe.zcard(FailedJobRegistry(queue=queue).key)
            pipe.lindex(queue.key, 0)
            pipe.zrange(started, 0, MOST_STARTED - 1)
        pipe.smembers(BaseWorker.redis_workers_keys)
        pipe.info("memory")
        pipe.info("stats")
        *told, workers, memory, stats = pipe.execute()
    counted = [told[at : at + 6] for at in range(0, len(told), 6)]
    names = [text(key).removeprefix(BaseWorker.redis_worker_namespace_prefix) for key in workers]
    with connection.pipeline(transaction=False) as pipe:
        for *_, head, started in counted:
            pipe.hget(Job.key_for(text(head or "")), "enqueued_at")
            for execution in started:
                pipe.hget(f"rq:execution:{text(execution)}", "worker_name")
        for name in names:
            pipe.get(Heartbeats.PREFIX + name)
        answers = iter(pipe.execute())
    found = {
        lane: (part, next(answers), [text(next(answers) or "") for _ in part[5]])
        for lane, part in zip(lanes, counted, strict=True)
    }
    beats = dict(zip(names, answers, strict=True))
    live = {name for name, running in beats.items() if running is not None}
    busy = sum(bool(running) for running in beats.values())
    return Standing(
        {lane: _lane(part, since, owners, live) for lane, (part, since, owners) in found.items()},
        {"busy": busy, "idle": len(live) - busy},
        Memory(memory["used_memory"], memory.get("maxmemory", 0), stats["evicted_keys"]),
    )


def _lane(
    told: Sequence[Any], since: bytes | None, owners: Sequence[str], live: set[str]
) -> LaneStanding:
    queued, started, scheduled, failed, head, executions = told
    return LaneStanding(
        {"queued": queued, "started": started, "scheduled": scheduled, "failed": failed},
        None if head is None else text(head),
        utcparse(text(since)) if since else None,
        [text(execution).partition(":")[0] for execution in executions],
        sum(owner not in live for owner in owners),
    )
