"""A batch as an RQ job, and back.

A job carries a handler's name, the batch's id, event keys and how often the batch failed or
killed its worker, as JSON; its id is the batch's. Every job calls one fixed entry point, and
a worker refuses any other, so nobody who can write to Redis can make it import something.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now

from pipeline.errors import JobRefused
from pipeline.store import Batch

ENTRY_POINT: Final = "pipeline.jobs.run"
JOB_SECONDS: Final = 600
RESULT_SECONDS: Final = 60
FAILURE_SECONDS: Final = 30 * 24 * 3600
QUEUED_SECONDS: Final = 7 * 24 * 3600


class Shelved(NamedTuple):
    """A batch that waits for a moment, or for a person.

    Attributes:
        batch: the batch.
        due_at: the moment, or None.
        cause: why, with the traceback.
    """

    batch: Batch
    due_at: datetime | None
    cause: str


class Report(NamedTuple):
    """What came of a run, as far as Redis has to know.

    Attributes:
        following: batches to enqueue.
        shelved: batches to show while they wait. A job that is one of either has not finished.
        along: batches that were done in the same run, to show as jobs that have finished.
        rest_seconds: so long the worker is to take no job of the lane for repairs.
    """

    following: Sequence[Batch] = ()
    shelved: Sequence[Shelved] = ()
    along: Sequence[Batch] = ()
    rest_seconds: float = 0.0


def rq_queue(name: str, connection: Redis) -> Queue:
    """The RQ queue of a lane; its jobs are JSON."""
    return Queue(name, connection=connection, serializer=JSONSerializer)


def job_of(batch: Batch, queue: Queue, status: JobStatus) -> Job:
    """The batch as a job of a lane; not saved."""
    job = queue.create_job(
        ENTRY_POINT, job_id=batch.id, timeout=JOB_SECONDS, status=status, **_facts(batch)
    )
    if status in (JobStatus.QUEUED, JobStatus.STARTED):
        job.enqueued_at = now()
    return job


def restored(job_id: str, fields: dict[bytes, bytes], connection: Redis) -> Job:
    """The job of these fields of its hash."""
    job = Job(job_id, connection=connection, serializer=JSONSerializer)
    job.restore(fields)
    return job


def batch_of(job: Job) -> Batch:
    """The batch that the job is for.

    Raises:
        JobRefused: it calls another function, or holds something else than its id says.
    """
    if job.func_name != ENTRY_POINT:
        raise JobRefused(f"the job calls {job.func_name}; only {ENTRY_POINT} is run")
    try:
        handler, batch_id, events, attempt, deaths = job.args
        batch = Batch.of(handler, tuple(events), job.origin, int(attempt), int(deaths))
    except (TypeError, ValueError) as error:
        raise JobRefused(f"the job's arguments are not those of a batch: {error}") from None
    if not batch.id == batch_id == job.id:
        raise JobRefused(f"job {job.id} does not hold the events that its id was made from")
    return batch


def _facts(batch: Batch) -> dict[str, Any]:
    return {
        "args": (batch.handler, batch.id, list(batch.events), batch.attempt, batch.deaths),
        "description": f"{batch.handler} on {len(batch.events)} events",
        "ttl": QUEUED_SECONDS,
        "result_ttl": RESULT_SECONDS,
        "failure_ttl": FAILURE_SECONDS,
    }
