"""The function that every RQ job of the pipeline names.

`pipeline worker` takes the batch from the job and runs it; it calls no function that a job
names. Any other RQ worker calls this one, and is told so.
"""

from __future__ import annotations

from pipeline.errors import PipelineError


def run(*_: object) -> None:
    """Refuse to be called.

    Raises:
        PipelineError: always.
    """
    raise PipelineError("jobs of the pipeline are run by 'pipeline worker', not by 'rq worker'")
