"""How soon what a killed worker held is done by another."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.bench import Bench, plain
from benchmarks.feeding import POLL_SECONDS, StalledError, wait_until_idle
from benchmarks.product import Told
from benchmarks.spec import Spec
from benchmarks.workload import in_order
from workers.bootstrap import Application
from workers.supervisor import Supervisor


def rescue(bench: Bench, spec: Spec, told: Told) -> dict[str, Any]:
    """How long after `kill -9` of a worker its batch is done, with the settings as they are."""
    began_at, started = datetime.now(UTC), time.monotonic()
    with bench.fresh(workers=spec.workers) as app, bench.working(app) as supervisor:
        events = list(in_order(spec.workload))
        for at in range(0, len(events), app.settings.batch_size):
            app.dispatcher.submit(events[at : at + app.settings.batch_size])
        told("killing a worker", len(events))
        seconds = _rescued(app, supervisor)
        wait_until_idle(app, tick=supervisor.tend)
    whole = time.monotonic() - started
    return plain(spec, began_at, len(events), whole) | {"figures": {"rescued_after_s": seconds}}


def _rescued(app: Application, supervisor: Supervisor) -> float:
    """Kill a worker that holds jobs, and wait until these are done by others.

    One that was done with them at that very moment tells nothing; then the next one is killed.

    Raises:
        StalledError: all events were done before any was held by who was killed.
    """
    killed: list[str] = []
    while True:
        if app.store.records.batches.idle():
            raise StalledError("no killed worker held anything; run it with more --events")
        running = app.heartbeats.running().items()
        held = {name: jobs for name, jobs in running if jobs and name not in killed}
        if not held:
            supervisor.tend()
            time.sleep(POLL_SECONDS)
            continue
        name, jobs = next(iter(held.items()))
        os.kill(int(name.rpartition("-")[2]), signal.SIGKILL)
        since = time.monotonic()
        killed.append(name)
        if app.store.records.batches.pending(jobs):
            break
    while app.store.records.batches.pending(jobs):
        supervisor.tend()
        time.sleep(POLL_SECONDS)
    return round(time.monotonic() - since, 1)
