"""The RQ worker of the pipeline.

RQ's own SimpleWorker takes about fourteen round trips to Redis for each job, and a batch of
one event takes hardly longer than they do. This one says the same things in four, for any
number of small jobs together: pop, read, say that they have started, say how they ended.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisSlow
from rq import Queue
from rq.exceptions import DequeueTimeout
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException
from rq.utils import now
from rq.worker import SimpleWorker, WorkerStatus

from pipeline.declarations import Lane
from pipeline.errors import Unavailable
from pipeline.metrics import Counts
from pipeline.metrics.catalogue import BATCH_WAIT, BATCHES
from pipeline.queue.bookkeeping import begin, end
from pipeline.queue.hand import Hand, going_on, hands_of
from pipeline.queue.heartbeats import Heartbeats
from pipeline.queue.jobs import JOB_SECONDS, Report, batch_of, rq_queue
from pipeline.queue.lanes import JobQueue
from pipeline.queue.taking import Taker
from pipeline.queue.text import text
from pipeline.queue.totals import sending
from pipeline.queue.traffic import Traffic
from pipeline.store import Batch

WORKER_SECONDS: Final = 60
"""How long RQ keeps a silent worker; an idle one waits for jobs a little less, and speaks."""
HEARTBEAT_SECONDS: Final = 10.0
SUSPENSION_SECONDS: Final = 1.0
"""How often a busy worker looks whether `rq suspend` was given."""
PAUSE_SECONDS: Final = 1.0
"""Between tries while a server is away."""
SHORTEST_WAIT: Final = 0.005
"""Seconds. Redis 6 cuts a timeout to whole milliseconds, and takes none of them for no timeout."""

NOTHING: Final = Report()

log = structlog.get_logger(__name__)


Run = Callable[[Sequence[Batch]], Report]


class BatchWorker(SimpleWorker):
    """An RQ worker that runs batches in its own process, one transaction after the other.

    It forks nothing (a MongoDB client must not cross a fork), refuses every function but
    the entry point, and leaves recovery to the sweeper, which knows from MongoDB what is
    still to be done.

    Args:
        connection: the Redis of the lanes.
        name: who we are in RQ.
        lanes: which lanes to take jobs from; a job of the first is taken before others.
        run: runs batches of the same handlers.
        room: most events that are run together.
        heartbeats: where we say that we live, and with which jobs.
        counts: what has been counted, which is sent when a run ends.

    Attributes:
        running: ids of the jobs in hand.
    """

    def __init__(
        self,
        connection: Redis,
        *,
        name: str,
        lanes: Sequence[Lane],
        run: Run,
        room: int,
        heartbeats: Heartbeats,
        counts: Counts | None = None,
    ) -> None:
        self._beaten = self._looked = 0.0
        super().__init__(
            [rq_queue(lane.value, connection) for lane in lanes],
            connection=connection,
            name=name,
            serializer=JSONSerializer,
            prepare_for_work=True,
            worker_ttl=WORKER_SECONDS,
        )
        self._run = run
        self._taker = Taker(connection, room)
        self._counts = counts or Counts()
        self._lanes = JobQueue(connection, self._counts)
        self._traffic = Traffic(connection)
        self._rests: dict[str, float] = {}
        self._group: list[Job] = []
        self._told_to_stop = False
        self._heartbeats = heartbeats
        self.running: tuple[str, ...] = ()

    def work_on(self) -> None:
        """Work until a signal ends it; where Redis goes away, wait for it and go on.

        RQ's own loop ends at whatever goes wrong between two jobs. A process that ends would
        be started again, a second later and with a second's work to get ready.
        """
        while not self._told_to_stop:
            try:
                self.work(logging_level="WARNING")
            except RedisError as error:  # away, or full where RQ writes down that we are there
                log.warning("redis_away", error=str(error)[:300])
            if not self._told_to_stop:
                time.sleep(PAUSE_SECONDS)

    def handle_warm_shutdown_request(self) -> None:
        """Note that we were told to stop: RQ's loop ends for other reasons too."""
        self._told_to_stop = True

    def set_shutdown_requested_date(self) -> None:
        """Tell RQ; called from a signal handler, where an error would hit the job in hand."""
        with _untold("shutdown"):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]

    def register_birth(self) -> None:
        """Tell RQ that we are there, also where it could not be told that we were gone."""
        self.connection.delete(self.key)
        super().register_birth()  # type: ignore[no-untyped-call]

    def run_maintenance_tasks(self) -> None:
        """Nothing: RQ's clean-up fails jobs that the sweeper would run again."""

    def check_for_suspension(self, burst: bool) -> None:  # noqa: FBT001 - RQ's signature
        """Wait while suspended; looked at once a second, not before each job."""
        if burst or time.monotonic() - self._looked >= SUSPENSION_SECONDS:
            self._looked = time.monotonic()
            with _untold("suspension"):
                super().check_for_suspension(burst)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Tell RQ that we live; alone at most every ten seconds, for free within a pipeline."""
        if pipeline is None and time.monotonic() - self._beaten < HEARTBEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        with _untold("heartbeat"):
            super().heartbeat(timeout, pipeline)

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Tell RQ what we do, unless it knows."""
        if pipeline is not None or state != self._state:
            super().set_state(state, pipeline)

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Wait for a job, and take small ones of the same handler with it."""
        queues = {queue.key: queue for queue in self._ordered_queues}
        self.set_state(WorkerStatus.IDLE)
        while True:
            try:
                self.heartbeat()
                popped = self._pop(queues, timeout)
                if popped is None:
                    return None
                key, job_id = (text(part) for part in popped)
                taken = self._taker.take(queues[key], job_id, leaving=timeout is not None)
                self._rest(key, taken.left_seconds)
                self._group = list(taken.jobs)
            except DequeueTimeout:
                if max_idle_time is not None:
                    return None
            except (RedisAway, RedisSlow) as error:
                log.warning("redis_away", error=str(error)[:300])
                time.sleep(PAUSE_SECONDS)
            else:
                if self._group:
                    return self._group[0], queues[key]

    def _pop(self, queues: Mapping[str, Queue], timeout: int | None) -> tuple[bytes, bytes] | None:
        """The next job; none of a lane that we rest from.

        Raises:
            DequeueTimeout: none has come.
        """
        if timeout is None:  # in a burst, which waits for nothing, there is no rest
            return self._wait(list(queues), None)
        left, until = float(timeout), time.monotonic() + timeout
        while left > 0 and (rests := self._resting()):
            live = [key for key in queues if key not in rests]
            with suppress(DequeueTimeout):
                return self._wait(live, min(left, *rests.values()))
            left = until - time.monotonic()
        if left <= 0:
            raise DequeueTimeout(timeout, list(queues))
        return self._wait(list(queues), left)

    def _wait(self, keys: Sequence[str], seconds: float | None) -> tuple[bytes, bytes] | None:
        if not keys:
            time.sleep(seconds or 0.0)
            raise DequeueTimeout(seconds, keys)
        if seconds is not None:
            seconds = max(seconds, SHORTEST_WAIT)
        # RQ says whole seconds; Redis, which it hands them to, takes fractions too.
        return cast(
            "tuple[bytes, bytes] | None",
            Queue.lpop(keys, cast("int | None", seconds), connection=self.connection),
        )

    def _rest(self, lane: str, seconds: float) -> None:
        """Take no job of this lane for so long."""
        self._rests[lane] = time.monotonic() + seconds

    def _resting(self) -> dict[str, float]:
        """The lanes that we rest from, with the seconds that are left."""
        now = time.monotonic()
        return {lane: until - now for lane, until in self._rests.items() if until > now}

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run the jobs taken together, and tell RQ when they start and how they end."""
        group = self._group or [job]
        self._group = []
        for hand in hands_of(group, queue):
            self._run_through(hand)

    def _run_through(self, hand: Hand) -> None:
        """Run jobs, and then what follows from them, as far as we go on with it ourselves."""
        self.running = tuple(job.id for job in hand.jobs)
        try:
            onward: Hand | None = self._say_started(hand)
            while onward is not None:
                onward = self._execute(onward)
        finally:
            self.running = ()

    def _execute(self, hand: Hand) -> Hand | None:
        """Run jobs that have started; what we go on with has started then."""
        queue, batches, jobs, _ = hand
        self._count_waits(hand)
        report, fault = NOTHING, ""
        try:
            if not batches:
                batch_of(jobs[0])
            with self.death_penalty_class(JOB_SECONDS, JobTimeoutException, job_id=jobs[0].id):
                report = self._run(batches)
            self._rest(queue.key, report.rest_seconds)
            for along in report.along:
                self._counts.add(BATCHES, (along.lane, "done"))
        except Unavailable as away:
            # Not the events' fault: the jobs go back to the head of their lane.
            log.warning("mongodb_away", error=str(away)[:300])
            self._counts.add(BATCHES, (queue.name, "unavailable"), len(jobs))
            self._say_ended(hand, back=True)
            time.sleep(PAUSE_SECONDS)
            return None
        except Exception:
            fault = traceback.format_exc()
            log.exception("job_failed", job=jobs[0].id)
        self._counts.add(BATCHES, (queue.name, "failed" if fault else "done"), len(jobs))
        return self._say_ended(hand, report=report, fault=fault)

    def _count_waits(self, hand: Hand) -> None:
        """How long they were in the lane; those that failed before have waited on purpose."""
        begun: Any = now()
        waits = [
            (max(0.0, (begun - job.enqueued_at).total_seconds()), 1)
            # One that is refused has no batch.
            for batch, job in zip(hand.batches, hand.jobs, strict=False)
            if job.enqueued_at is not None and not batch.attempt
        ]
        self._counts.observe(BATCH_WAIT, waits, (hand.queue.name,))

    def _say_started(self, hand: Hand) -> Hand:
        """In one round trip: the jobs have started, and we are busy with them."""
        with self.connection.pipeline(transaction=False) as pipe:
            started = self._start(hand, pipe)
            with _untold("started"):
                pipe.execute()
        return started

    def _start(self, hand: Hand, pipe: Pipeline) -> Hand:
        """Say, as part of a pipeline, that the jobs have started, and that we are busy."""
        jobs = hand.jobs
        seconds = self.get_heartbeat_ttl(jobs[0])
        run = begin(jobs, hand.queue.name, self.name, seconds, pipe)
        self.set_state(WorkerStatus.BUSY, pipeline=pipe)
        self.set_current_job_id(jobs[0].id, pipeline=pipe)
        self.heartbeat(seconds, pipeline=pipe)
        self._heartbeats.beat(self.name, self.running, pipe)
        if hand.queue.name != Lane.REPAIR:
            self._traffic.note(pipe)
        return hand._replace(run=run)

    def _say_ended(
        self, hand: Hand, *, report: Report = NOTHING, fault: str = "", back: bool = False
    ) -> Hand | None:
        """In one round trip: how the jobs ended, what follows, and what we do now.

        Returns:
            What we go on with, started, if anything.
        """
        queue, _, jobs, run = hand
        pending = {one.batch.id for one in report.shelved}
        pending |= {batch.id for batch in report.following}
        queues = [] if self._told_to_stop else self.queues
        onward, report = going_on(report, queues)
        ended: Any = now()
        well = not (back or fault)
        finished = [job for job in jobs if well and job.id not in pending]
        others = [job for job in jobs if not well or job.id in pending]
        with self.connection.pipeline(transaction=False) as pipe:
            end(finished, others, queue.name, self.name, run, ended, pipe)
            for job in reversed(jobs):
                if back:
                    # Its public way takes a function, not a job that is there.
                    queue._enqueue_job(job, pipeline=pipe, at_front=True)  # noqa: SLF001
                    continue
                job.ended_at = ended
                if fault:
                    job.set_status(JobStatus.FAILED, pipeline=pipe)
                    # What RQ's own worker calls; nothing public enters a failure.
                    job._handle_failure(fault, pipe, self.name)  # noqa: SLF001
            for batch in report.along:
                beside = self._lanes.add_along(batch, jobs[0], pipe)
                end([beside], [], batch.lane, self.name, run, ended, pipe)
            if not back:
                self._sum_up(hand, len(report.along), pipe, failed=bool(fault))
            with _untold("what follows"):
                self._lanes.add_report(report, pipe)
            self._taker.done(pipe)
            self.running = () if onward is None else tuple(job.id for job in onward.jobs)
            if onward is None:
                self.set_current_job_id(None, pipeline=pipe)
                self.set_state(WorkerStatus.IDLE, pipeline=pipe)
                self._heartbeats.beat(self.name, (), pipe)
            else:
                self._lanes.add_started(onward.jobs[0], pipe)
                onward = self._start(onward, pipe)
            with _untold("ended"), sending(self._counts, pipe):
                pipe.execute()
        return onward

    def _sum_up(self, hand: Hand, along: int, pipe: Pipeline, *, failed: bool) -> None:
        """Add to what RQ shows of us; the time of jobs that were run together is theirs once."""
        one = hand.jobs[0]
        if one.started_at is not None and one.ended_at is not None:
            self.increment_total_working_time(one.ended_at - one.started_at, pipe)
        count = "failed_job_count" if failed else "successful_job_count"
        pipe.hincrby(self.key, count, len(hand.jobs) + along)


@contextmanager
def _untold(what: str) -> Iterator[None]:
    """Go on where Redis, away or full, is not told something.

    What MongoDB holds is enough: the sweeper enqueues what could not be enqueued here.
    """
    try:
        yield
    except RedisError as error:
        log.warning("redis_not_told", what=what, error=str(error)[:300])
