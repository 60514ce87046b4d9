"""Verification by recalculation: what it finds of what was planted, how fast, and what it mends."""

from __future__ import annotations

import time
from typing import Any, Final

from benchmarks.feeding import POLL_SECONDS, feed, wait_until_idle
from benchmarks.main_job import Bench, Options, flight_events
from benchmarks.planting import plant
from pipeline.verification import Report, report_of
from workers.bootstrap import Application
from workers.supervisor import Supervisor

PLANTED: Final = 1_000
SEED: Final = 2013
SHOWN: Final = 10_000


def verify(bench: Bench, options: Options) -> dict[str, Any]:
    """`verify --all` of the flights after 1,000 documents were corrupted, and its repair."""
    with bench.fresh() as app, bench.working(app) as supervisor:
        feed(app, flight_events(options.events), tick=supervisor.tend)
        wait_until_idle(app, tick=supervisor.tend)
        planted = plant(app.store, app.registry, SEED, PLANTED)
        found, seconds = _verified(app, supervisor)
        mended, mending = _verified(app, supervisor, repairs=True)
        after, _ = _verified(app, supervisor)
    named = {(finding.table, finding.id) for finding in found.findings}
    return {
        "events_per_second": round(found.events / seconds, 1),
        "planted": len(planted),
        "found": len(named & planted),
        "found_and_not_planted": len(named - planted),
        "put_right": mended.repaired,
        "repair_seconds": round(mending, 1),
        "wrong_afterwards": sum(after.wrong.values()) + after.unknown,
        "events": found.events,
        "documents": found.documents,
    }


def _verified(
    app: Application, supervisor: Supervisor, *, repairs: bool = False
) -> tuple[Report, float]:
    """Let the workers verify everything; what they found, and the seconds it took them."""
    started = time.monotonic()
    name, batches = app.verifier("bench").begin(repairs=repairs)
    app.queue.enqueue(batches)
    while (report := report_of(app.store, name, limit=SHOWN)).ended_at is None:
        supervisor.tend()
        time.sleep(POLL_SECONDS)
    return report, time.monotonic() - started
