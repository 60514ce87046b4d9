"""The RQ worker of the pipeline.

RQ's own SimpleWorker takes about fourteen round trips to Redis for each job, and a batch of
one event takes hardly longer than they do. This one says the same things to Redis in four:
take the job, read it, say that it has started, say that it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import SimpleWorker, WorkerStatus

from pipeline.declarations import Lane
from pipeline.queue.lanes import ENTRY_POINT, RESULT_SECONDS, rq_queue

WORKER_SECONDS: Final = 60
"""How long RQ keeps a silent worker; an idle one waits for jobs a little less, and speaks."""
HEARTBEAT_SECONDS: Final = 10.0
SUSPENSION_SECONDS: Final = 1.0
"""How often a busy worker looks whether `rq suspend` was given."""

log = structlog.get_logger(__name__)


class BatchWorker(SimpleWorker):
    """An RQ worker that runs batches in its own process, one after the other.

    It forks nothing (a MongoDB client must not cross a fork), refuses every function but
    the entry point, and leaves recovery to the sweeper, which knows from MongoDB what is
    still to be done.
    """

    def __init__(self, connection: Redis, *, name: str, lanes: Sequence[Lane]) -> None:
        self._beaten = self._looked = 0.0
        super().__init__(
            [rq_queue(lane.value, connection) for lane in lanes],
            connection=connection,
            name=name,
            serializer=JSONSerializer,
            prepare_for_work=True,
            worker_ttl=WORKER_SECONDS,
        )
        self.on_job: Callable[[str | None], None] = lambda _job: None

    def run_maintenance_tasks(self) -> None:
        """Nothing: RQ's clean-up fails jobs that the sweeper would run again."""

    def check_for_suspension(self, burst: bool) -> None:  # noqa: FBT001 - RQ's signature
        """Wait while suspended; looked at once a second, not before each job."""
        if burst or time.monotonic() - self._looked >= SUSPENSION_SECONDS:
            self._looked = time.monotonic()
            super().check_for_suspension(burst)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Tell RQ that we live; alone at most every ten seconds, for free within a pipeline."""
        if pipeline is None and time.monotonic() - self._beaten < HEARTBEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        super().heartbeat(timeout, pipeline)

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Tell RQ what we do, unless it knows."""
        if pipeline is not None or state != self._state:
            super().set_state(state, pipeline)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run one job, telling `on_job` its id before and None after."""
        self.on_job(job.id)
        try:
            super().execute_job(job, queue)
        finally:
            self.on_job(None)

    def prepare_execution(self, job: Job) -> Execution:
        """Say, in one round trip, that the job has started and that we are busy with it."""
        seconds = self.get_heartbeat_ttl(job)
        with self.connection.pipeline() as pipe:
            execution = Execution.create(job, seconds, pipeline=pipe, worker_name=self.name)
            self.execution = execution
            self.set_state(WorkerStatus.BUSY, pipeline=pipe)
            self.set_current_job_id(job.id, pipeline=pipe)
            self.heartbeat(seconds, pipeline=pipe)
            job.prepare_for_execution(self.name, pipeline=pipe)
            pipe.execute()
        return execution

    def prepare_job_execution(
        self,
        job: Job,
        remove_from_intermediate_queue: bool = False,  # noqa: FBT001, FBT002 - RQ's signature
    ) -> None:
        """Nothing: `prepare_execution` has said it all."""

    def perform_job(self, job: Job, queue: Queue) -> bool:
        """Run the job if it is one of ours."""
        if job.func_name != ENTRY_POINT:
            log.error("job_refused", job=job.id, function=job.func_name)
            job._instance, job._func_name = None, "pipeline.jobs.refuse"  # noqa: SLF001
        return bool(super().perform_job(job, queue))

    def handle_execution_ended(self, job: Job, *_: object) -> None:
        """Note the end; success and failure both tell Redis next."""
        job.ended_at = now()

    def handle_job_success(self, job: Job, *_: object, **__: object) -> None:
        """Say, in one round trip, that the job has ended well and that we are idle."""
        started: Any = job.started_at
        ended: Any = job.ended_at
        with self.connection.pipeline() as pipe:
            self.increment_successful_job_count(pipeline=pipe)
            self.increment_total_working_time(ended - started, pipe)
            job._handle_success(RESULT_SECONDS, pipeline=pipe, worker_name=self.name)  # noqa: SLF001
            job.cleanup(RESULT_SECONDS, pipeline=pipe, remove_from_queue=False)
            self.cleanup_execution(job, pipeline=pipe)
            self.set_state(WorkerStatus.IDLE, pipeline=pipe)
            pipe.execute()
