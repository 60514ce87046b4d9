"""What an RQ job calls: one entry point for every handler.

The executor is bound once, when a worker process starts; RQ imports this module by name and
can hand nothing but the job's own JSON to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import JobRefused, PipelineError
from pipeline.executor import Executor

_bound: list[Executor] = []


def bind(executor: Executor) -> None:
    """Make this process run jobs with the executor."""
    _bound[:] = [executor]


def run(handler: str, batch: str, events: Sequence[str]) -> None:
    """Run one handler on one batch.

    Raises:
        PipelineError: this process is no worker of the pipeline, or the batch failed.
    """
    if not _bound:
        raise PipelineError("jobs of the pipeline are run by 'pipeline worker', not 'rq worker'")
    _bound[0].run(handler, batch, tuple(events))


def refuse(*_args: object, **_kwargs: object) -> None:
    """Stand in for a function that no job may call.

    Raises:
        JobRefused: always.
    """
    raise JobRefused
