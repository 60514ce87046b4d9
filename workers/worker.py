"""A worker process: takes jobs from the lanes and runs their batches."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Sequence
from typing import Self

import structlog
from redis.exceptions import RedisError

from pipeline.counting import count_run
from pipeline.declarations import Lane
from pipeline.executor import Executor
from pipeline.metrics.own import own_registry, serve
from pipeline.queue import BatchWorker, Heartbeats, Report
from pipeline.queue.worker import Run
from pipeline.reporting import report
from pipeline.store import Batch
from pipeline.verification import Verifier
from workers.bootstrap import Application, process_name

GC_THRESHOLDS = (20_000, 20, 50)
"""A batch makes many thousands of objects at once and drops them together."""

log = structlog.get_logger(__name__)


def run(app: Application, role: str, lanes: Sequence[Lane]) -> None:
    """Work until SIGTERM or SIGINT; a job that has begun is finished first.

    Args:
        app: the process's application.
        role: our name, but for host and process id.
        lanes: which lanes to take jobs from; a job of the first is taken before others.
    """
    name = process_name(role)
    told = own_registry("worker", revision=app.settings.revision)
    serve(told, app.settings.metrics_host, app.settings.metrics_port)
    with app.executor(name, observing=Lane.OBSERVERS in lanes) as executor:
        _work(app, name, lanes, executor)
    log.info("worker_stopped")


def run_of(app: Application, executor: Executor, verifier: Verifier) -> Run:
    """What a worker does with batches, and counts of them."""

    def run_batches(batches: Sequence[Batch]) -> Report:
        if batches[0].lane == Lane.REPAIR:
            (unit,) = batches
            return verifier.run(unit)
        begun = app.clock.monotonic()
        outcome = executor.run(batches)
        count_run(app.counts, batches, outcome, app.clock.monotonic() - begun, app.clock.now())
        return report(outcome)

    return run_batches


def _work(app: Application, name: str, lanes: Sequence[Lane], executor: Executor) -> None:
    worker = BatchWorker(
        app.redis,
        name=name,
        lanes=lanes,
        run=run_of(app, executor, app.verifier(name)),
        room=app.settings.batch_size,
        heartbeats=app.heartbeats,
        counts=app.counts,
    )
    # What the start has made stays; the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with _Pulse(app.heartbeats, worker, app.settings.lease_seconds):
        log.info("worker_started", lanes=[lane.value for lane in lanes])
        worker.work_on()


class _Pulse:
    """Beats from a thread of its own, so that a busy handler can't stop it.

    It also ends the process when its supervisor is gone: an orphan would go on unseen.
    """

    def __init__(self, heartbeats: Heartbeats, worker: BatchWorker, lease_seconds: int) -> None:
        self._heartbeats = heartbeats
        self._worker = worker
        self._period = lease_seconds / 3
        self._ended = threading.Event()
        self._parent = os.getppid()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._heartbeats.stop(self._worker.name)

    def _beat(self) -> None:
        while True:
            try:
                self._heartbeats.beat(self._worker.name, self._worker.running)
            except RedisError as error:
                log.warning("heartbeat_failed", error=str(error))
            if self._ended.wait(self._period):
                return
            if os.getppid() != self._parent:
                log.error("supervisor_gone")
                os._exit(1)
