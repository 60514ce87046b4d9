"""A worker process that is killed at one step of its run, as by `kill -9`.

Run as `python -m tests.faults.crashing_worker STEP NUMBER`: it dies when it passes the step for
the so-many-th time. Settings come from the environment, as for every worker.
"""

import os
import signal
import sys

from pipeline.declarations import Lane
from pipeline.executor import Step
from pipeline.queue import BatchWorker
from pipeline.reporting import report
from pipeline.settings import Settings
from workers.bootstrap import application, process_name, servers


def main() -> None:
    """Work until the step is passed so often."""
    step, left = Step(sys.argv[1]), int(sys.argv[2])

    def passing(passed: Step) -> None:
        nonlocal left
        left -= passed is step
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    settings, name = Settings(), process_name("crashing")
    with (
        servers(settings) as where,
        application(settings, where) as app,
        app.executor(name, passing) as executor,
    ):
        worker = BatchWorker(
            app.redis,
            name=name,
            lanes=list(Lane),
            run=lambda batches: report(executor.run(batches)),
            room=settings.batch_size,
            heartbeats=app.heartbeats,
        )
        worker.work(burst=True, logging_level="CRITICAL")


if __name__ == "__main__":
    main()
