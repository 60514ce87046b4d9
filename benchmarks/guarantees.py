"""What guarantees cost, and how soon they act: leases on and off, and a worker killed at work."""

from __future__ import annotations

import os
import signal
import statistics
import time
from itertools import islice
from typing import Any, Final

from benchmarks.feeding import POLL_SECONDS, feed, wait_until_idle
from benchmarks.main_job import Bench, Options, flight_events
from pipeline.store.policies import LockPolicies, Scope
from workers.bootstrap import Application
from workers.supervisor import Supervisor

KILLS: Final = 3
EVENTS_A_KILL: Final = 20_000


def locks(bench: Bench, options: Options) -> dict[str, Any]:
    """Throughput with leases and without, in turn: machines are noisy, ratios less so."""
    pairs = []
    for number in range(options.repeat):
        # Whoever is first finds the machine in another state than whoever is second.
        order = (True, False) if number % 2 else (False, True)
        rates = {enabled: _rate(bench, options.events, enabled=enabled) for enabled in order}
        pairs.append({"on": round(rates[True], 1), "off": round(rates[False], 1)})
    ratios = [pair["on"] / pair["off"] for pair in pairs]
    return {"on_to_off": round(statistics.median(ratios), 3), "pairs": pairs}


def _rate(bench: Bench, count: int, *, enabled: bool) -> float:
    with bench.fresh() as app:
        policies = LockPolicies(app.store.database)
        policies.change(Scope(None, None), {"enabled": enabled}, app.clock.now())
        with bench.working(app) as supervisor:
            fed = feed(app, flight_events(count), tick=supervisor.tend)
            return fed.accepted / (wait_until_idle(app, tick=supervisor.tend) - fed.started)


def rescue(bench: Bench, _options: Options) -> dict[str, Any]:
    """How long after `kill -9` of a worker its batch is done, with the settings as they are."""
    seconds = []
    for _ in range(KILLS):
        with bench.fresh() as app, bench.working(app) as supervisor:
            for at in range(0, EVENTS_A_KILL, app.settings.batch_size):
                app.dispatcher.submit(
                    list(islice(flight_events(EVENTS_A_KILL), at, at + app.settings.batch_size))
                )
            seconds.append(_rescued(app, supervisor))
            wait_until_idle(app, tick=supervisor.tend)
    return {"longest_seconds": max(seconds), "seconds": seconds}


def _rescued(app: Application, supervisor: Supervisor) -> float:
    """Kill a worker that holds jobs, and wait until these are done by others."""
    while True:
        held = {name: jobs for name, jobs in app.heartbeats.running().items() if jobs}
        if held:
            break
        time.sleep(POLL_SECONDS)
    name, jobs = next(iter(held.items()))
    os.kill(int(name.rpartition("-")[2]), signal.SIGKILL)
    killed = time.monotonic()
    while app.store.records.batches.pending(jobs):
        supervisor.tend()
        time.sleep(POLL_SECONDS)
    seconds = round(time.monotonic() - killed, 1)
    while name in app.heartbeats.running():  # or the next run would take it for a stranger's
        time.sleep(POLL_SECONDS)
    return seconds
