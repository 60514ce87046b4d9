"""RQ's books: which jobs have begun, and which have finished.

RQ's own worker enters a job with six commands when it begins and ten when it has finished, each
of them packed, parsed and thought about in Python. For a run of a few events that is a sixth of all
its time. Here it is one command at each end, for all jobs of the run; the scripts write what RQ
writes, and a test holds the two side by side. What fails is left to RQ's own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import uuid4

from redis.client import Pipeline
from rq.job import Job
from rq.registry import FinishedJobRegistry, StartedJobRegistry
from rq.utils import now, utcformat

from pipeline.queue.jobs import RESULT_SECONDS
from pipeline.queue.scripts import script

_BEGIN: Final = script("begin")
_END: Final = script("end")


def begin(jobs: Sequence[Job], lane: str, worker: str, silence: int, pipe: Pipeline) -> str:
    """Enter, as part of a pipeline, that jobs of a lane have begun.

    Args:
        jobs: which; they know afterwards by whom and when.
        lane: whose they are.
        worker: who has begun them.
        silence: after how many seconds without a word the worker counts as gone.
        pipe: to Redis.

    Returns:
        What RQ is to call this run of them.
    """
    run, at = uuid4().hex, now()
    for job in jobs:
        job.worker_name, job.started_at, job.last_heartbeat = worker, at, at
    moment = (utcformat(at), at.timestamp())
    ids = (job.id for job in jobs)
    pipe.eval(_BEGIN, 1, _begun(lane), worker, run, *moment, silence, *ids)
    return run


def end(
    finished: Sequence[Job],
    others: Sequence[Job],
    lane: str,
    worker: str,
    run: str,
    at: datetime,
    pipe: Pipeline,
) -> None:
    """Enter, as part of a pipeline, that a run of jobs of a lane is at an end.

    Args:
        finished: those of the run that are not to be run again.
        others: those whose end is told elsewhere.
        lane: whose they are.
        worker: who has run them.
        run: what RQ calls it.
        at: the moment.
        pipe: to Redis.
    """
    ids = (job.id for job in (*finished, *others))
    forgotten = (int(at.timestamp()) + RESULT_SECONDS, RESULT_SECONDS)
    keys = (_begun(lane), FinishedJobRegistry.key_template.format(lane))
    pipe.eval(_END, 2, *keys, worker, run, utcformat(at), *forgotten, len(finished), *ids)


def _begun(lane: str) -> str:
    return StartedJobRegistry.key_template.format(lane)
