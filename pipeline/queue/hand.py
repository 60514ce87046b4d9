"""What a worker runs together, and what it goes on with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog
from rq import Queue
from rq.job import Job, JobStatus

from pipeline.declarations import Lane
from pipeline.errors import JobRefused
from pipeline.queue.jobs import Report, batch_of, job_of
from pipeline.store import Batch

log = structlog.get_logger(__name__)


class Hand(NamedTuple):
    """Jobs of one lane that are run in one transaction.

    Attributes:
        queue: their lane.
        batches: what they are for; none where the job is refused.
        jobs: the jobs.
        run: what RQ calls this run of them, once they have begun.
    """

    queue: Queue
    batches: Sequence[Batch]
    jobs: Sequence[Job]
    run: str = ""


def hands_of(jobs: Sequence[Job], queue: Queue) -> list[Hand]:
    """What may be run together of jobs taken together; a batch that a worker died of is alone."""
    together: tuple[list[Batch], list[Job]] = [], []
    alone: list[Hand] = []
    for job in jobs:
        try:
            batch = batch_of(job)
        except JobRefused:
            log.exception("job_refused", job=job.id)
            alone.append(Hand(queue, [], [job]))
            continue
        if batch.deaths:
            alone.append(Hand(queue, [batch], [job]))
        else:
            together[0].append(batch)
            together[1].append(job)
    return [Hand(queue, *together), *alone] if together[0] else alone


def going_on(report: Report, queues: Iterable[Queue]) -> tuple[Hand | None, Report]:
    """What a worker goes on with at once, and its report without that.

    The observers of what it has just folded: it remembers what they will read, and nobody has
    to be woken. They are a job of their own, which waits in no lane.

    Args:
        report: what came of a run.
        queues: the lanes of which the worker takes jobs.
    """
    queue = next((one for one in queues if one.name == Lane.OBSERVERS), None)
    new = (one for one in report.following if one.lane == Lane.OBSERVERS and not one.attempt)
    batch = next(new, None)
    if queue is None or batch is None:
        return None, report
    rest = [other for other in report.following if other is not batch]
    job = job_of(batch, queue, JobStatus.STARTED)
    return Hand(queue, [batch], [job]), report._replace(following=rest)
