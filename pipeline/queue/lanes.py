"""The lanes, as RQ queues. Redis holds nothing that MongoDB does not: it may be wiped."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import AuthenticationError, RedisError
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.results import get_key as results_key

from pipeline.declarations import Lane
from pipeline.errors import SettingError, Unavailable
from pipeline.metrics import Counts
from pipeline.queue.jobs import (
    FAILURE_SECONDS,
    QUEUED_SECONDS,
    Report,
    Shelved,
    job_of,
    rq_queue,
)
from pipeline.queue.room import Room
from pipeline.queue.standing import standing
from pipeline.queue.text import text
from pipeline.queue.totals import sending
from pipeline.store import Batch

OLDEST: Final = (6, 2)
"""The oldest Redis that has all commands we use."""

NO_ADDRESS: Final = (
    "PIPELINE_REDIS_URL is no address of a Redis; write redis://user:password@host:6379/0, "
    "and %XX for what is special in a password"
)

SHELVES: Final = "pipeline:shelves"
"""A key that time or a wipe removes."""

log = structlog.get_logger(__name__)


class Started(NamedTuple):
    """An execution that a worker has started, as RQ's registry shows it.

    Attributes:
        registry: key of the registry it stands in.
        member: what stands there: job and execution.
        worker: who has started it; empty where Redis has forgotten that.
    """

    registry: str
    member: str
    worker: str


def connect(url: str, *, timeout_seconds: float = 5.0) -> Redis:
    """A connection whose address is checked at once.

    Raises:
        SettingError: that is no address of a Redis.
        Unavailable: nothing answers there, it refuses us, or it can't be used; the message
            says which, and what to do.
    """

    def client() -> Redis:
        return Redis.from_url(
            url,
            socket_connect_timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            health_check_interval=30,
        )

    try:
        # A client of its own: a worker waits for jobs longer than this timeout, and RQ raises
        # it only for connections that are made later on.
        with client() as probe:
            reason = unfit(probe.info("server") | probe.info("replication"))
    except AuthenticationError as error:
        raise Unavailable(f"Redis refuses us: {error}. Correct PIPELINE_REDIS_URL") from None
    except RedisError as error:
        raise Unavailable(f"Redis does not answer within {timeout_seconds} s: {error}") from None
    except (ValueError, TypeError):  # their text may hold a part of the password
        raise SettingError(NO_ADDRESS) from None
    if reason:
        raise Unavailable(reason)
    return client()


def unfit(said: Mapping[str, Any]) -> str | None:
    """Why a Redis that says this of itself can't be used, if so."""
    version = str(said.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        return f"this Redis is version {version}; {OLDEST[0]}.{OLDEST[1]} or newer is needed"
    if said.get("role") == "slave":
        return (
            f"this Redis is a read-only replica of {said.get('master_host')}; "
            f"name the primary in PIPELINE_REDIS_URL"
        )
    return None


class JobQueue:
    """The lanes, as RQ queues.

    Args:
        connection: the Redis of the lanes.
        counts: sent with whatever is sent.
    """

    def __init__(self, connection: Redis, counts: Counts | None = None) -> None:
        self._connection = connection
        self._counts = counts or Counts()
        self._lanes = {lane.value: rq_queue(lane.value, connection) for lane in Lane}
        self._room = Room(self.lengths)

    def enqueue(self, batches: Sequence[Batch]) -> bool:
        """Enqueue the batches that there is room for; doing it again is harmless.

        Returns:
            False where Redis did not take them. They stand in the outbox, so the sweeper
            enqueues them when Redis is back, as it does with those there was no room for.
        """
        return self.tell(Report(following=batches)) if batches else True

    def put_back(self, batches: Sequence[Batch]) -> list[Batch] | None:
        """Enqueue batches that may be on a shelf, and take those enqueued off it.

        Returns:
            Those that there was room for; None where Redis did not take them. The others
            stand in the outbox, as with `enqueue`.
        """
        fitting: list[Batch] = []

        def add(pipe: Pipeline) -> None:
            fitting.extend(self._room.fitting(batches))
            if fitting:
                self._clear([batch.id for batch in fitting], pipe)
                self._add(fitting, pipe)

        return fitting if not batches or self._send(add, len(batches)) else None

    def take_off(self, batches: Sequence[str]) -> bool:
        """Show these batches on no shelf any more, and forget their jobs.

        Returns:
            False where Redis did not take it: then they are shown until Redis forgets them.
        """

        def remove(pipe: Pipeline) -> None:
            self._clear(batches, pipe)
            pipe.delete(*map(Job.key_for, batches), *map(results_key, batches))

        return self._send(remove, len(batches)) if batches else True

    def tell(self, report: Report) -> bool:
        """Enqueue what there is room for, and shelve; False where Redis did not take it."""
        return self._send(lambda pipe: self.add_report(report, pipe), len(report.following))

    def _send(self, add: Callable[[Pipeline], None], batches: int) -> bool:
        try:
            with self._connection.pipeline(transaction=False) as pipe:
                add(pipe)
                with sending(self._counts, pipe):
                    pipe.execute()
        except RedisError as error:
            log.warning("enqueue_failed", batches=batches, error=str(error))
            return False
        return True

    def add_report(self, report: Report, pipe: Pipeline) -> None:
        """Enqueue what there is room for, and shelve, as part of a pipeline.

        Raises:
            redis.RedisError: Redis is away.
        """
        self._add(self._room.fitting(report.following), pipe)
        self._shelve(report.shelved, pipe)

    def add_started(self, job: Job, pipe: Pipeline) -> None:
        """Save, as part of a pipeline, a job that has started and waits in no lane."""
        self._save(job, self._lanes[job.origin], pipe)

    def add_along(self, batch: Batch, leader: Job, pipe: Pipeline) -> Job:
        """Save the job of a batch that was done in another's run, as part of a pipeline."""
        queue = self._lanes[batch.lane]
        job = job_of(batch, queue, JobStatus.STARTED)
        job.started_at, job.ended_at = leader.started_at, leader.ended_at
        job.worker_name = leader.worker_name
        self._save(job, queue, pipe)
        return job

    def _add(self, batches: Sequence[Batch], pipe: Pipeline) -> None:
        for batch in batches:
            queue = self._lanes[batch.lane]
            if batch.attempt:
                for shelf in (FailedJobRegistry(queue=queue), _scheduled(queue)):
                    pipe.zrem(shelf.key, batch.id)
            # As RQ's own way, without what is for jobs that depend on others.
            self._save(job_of(batch, queue, JobStatus.QUEUED), queue, pipe)
            queue.push_job_id(batch.id, pipeline=pipe)

    def _save(self, job: Job, queue: Queue, pipe: Pipeline) -> None:
        pipe.sadd(queue.redis_queues_keys, queue.key)
        job.save(pipeline=pipe)
        pipe.expire(job.key, QUEUED_SECONDS)

    def _clear(self, batches: Sequence[str], pipe: Pipeline) -> None:
        """Take batches off all shelves."""
        for queue in self._lanes.values():
            for shelf in (FailedJobRegistry(queue=queue), _scheduled(queue)):
                pipe.zrem(shelf.key, *batches)

    def _shelve(self, shelved: Sequence[Shelved], pipe: Pipeline) -> None:
        """Show batches in RQ's registries while they wait: scheduled, or failed for good.

        Nobody but the sweeper takes scheduled ones from there; `rq requeue` and rq-dashboard
        put failed ones back to work.
        """
        for batch, due_at, cause in shelved:
            queue = self._lanes[batch.lane]
            job = job_of(batch, queue, JobStatus.SCHEDULED if due_at else JobStatus.FAILED)
            if due_at is None:
                FailedJobRegistry(queue=queue).add(
                    job, ttl=FAILURE_SECONDS, exc_string=cause, pipeline=pipe
                )
            else:
                job.save(pipeline=pipe)
                pipe.expire(job.key, FAILURE_SECONDS)
                pipe.zadd(_scheduled(queue).key, {job.id: due_at.timestamp()})
            Result.create_failure(job, FAILURE_SECONDS, exc_string=cause, pipeline=pipe)

    def missing(self, batches: Sequence[Batch], live: set[str]) -> list[Batch]:
        """Which of these no job in a lane and no live worker stands for.

        Args:
            batches: batches of the outbox.
            live: ids of the jobs that live workers are running now.
        """
        listed: set[str] = set()
        for lane in {batch.lane for batch in batches}:
            listed |= set(self._lanes[lane].get_job_ids())
        return [b for b in batches if b.id not in listed and b.id not in live]

    def unknown(self, batches: Sequence[str]) -> list[str]:
        """Which of these Redis holds no job of, waiting, running, shelved or just done."""
        with self._connection.pipeline(transaction=False) as pipe:
            for batch in batches:
                pipe.exists(Job.key_for(batch))
            there = pipe.execute()
        return [batch for batch, known in zip(batches, there, strict=True) if not known]

    def note_of_shelves(self) -> str:
        """What was noted of the shelves last; empty after its time, and after a wipe."""
        return text(self._connection.get(SHELVES) or "")

    def note_shelves(self, note: str, seconds: int) -> None:
        """Note something of the shelves for so many seconds, unless Redis is wiped."""
        self._connection.set(SHELVES, note, ex=seconds)

    def lengths(self) -> dict[str, int]:
        """Jobs waiting in each lane."""
        with self._connection.pipeline(transaction=False) as pipe:
            for queue in self._lanes.values():
                pipe.llen(queue.key)
            return dict(zip(self._lanes, pipe.execute(), strict=True))

    def oldest(self, now: datetime) -> dict[str, float]:
        """For how many seconds the job at the head of each lane has waited; empty lanes are absent.

        A job that a worker takes meanwhile is absent too.
        """
        return {
            name: max(0.0, (now - lane.head_since).total_seconds())
            for name, lane in standing(self._connection).lanes.items()
            if lane.head_since is not None
        }

    def started(self) -> list[Started]:
        """The executions that RQ shows as started."""
        found: list[Started] = []
        for queue in self._lanes.values():
            registry = StartedJobRegistry(queue=queue).key
            members = [text(member) for member in self._connection.zrange(registry, 0, -1)]
            workers = self._workers_of(members)
            found += map(Started, itertools.repeat(registry), members, workers)
        return found

    def orphaned(self, started: Iterable[Started], live: Collection[str]) -> list[str]:
        """Take note, once, of jobs that were started by workers that live no more.

        They are forgotten with this: RQ's own clean-up would some day move jobs that have
        long been run again to its failed registry. Whoever removes an entry has it to
        himself, so each is returned to one caller only.

        Args:
            started: as `started` says.
            live: workers that lived after that was asked: a worker that came in between has
                started nothing of it.
        """
        return [
            one.member.partition(":")[0]
            for one in started
            if one.worker not in live and self._connection.zrem(one.registry, one.member)
        ]

    def _workers_of(self, executions: Sequence[str]) -> list[str]:
        """Who started each execution; empty where Redis has forgotten it."""
        if not executions:
            return []
        with self._connection.pipeline(transaction=False) as pipe:
            for execution in executions:
                pipe.hget(f"rq:execution:{execution}", "worker_name")
            return [text(name or "") for name in pipe.execute()]


def _scheduled(queue: Queue) -> ScheduledJobRegistry:
    return ScheduledJobRegistry(queue=queue)  # type: ignore[no-untyped-call]
