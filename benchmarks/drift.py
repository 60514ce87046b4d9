"""Verification by recalculation: what it finds and mends, how fast, and what it costs others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from benchmarks.feeding import POLL_SECONDS, feed, wait_until_idle
from benchmarks.main_job import Bench, Options, flight_events
from benchmarks.planting import plant
from benchmarks.timetable import on_time
from pipeline.verification import Report, report_of
from workers.bootstrap import Application
from workers.supervisor import Supervisor

PLANTED: Final = 1_000
SEED: Final = 2013
SHOWN: Final = 10_000
PER_SECOND: Final = 25
"""Single events, live, while everything is verified."""
LIVE: Final = 500


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


def beside(bench: Bench, options: Options) -> dict[str, Any]:
    """How long live events take while the same workers verify everything, again and again."""
    wanted = options.events + 2 * LIVE
    with bench.fresh() as app, bench.working(app) as supervisor:
        events = list(flight_events(wanted))
        feed(app, iter(events[: options.events]), tick=supervisor.tend)
        wait_until_idle(app, tick=supervisor.tend)
        quiet = on_time(app, events[options.events : -LIVE], PER_SECOND)
        verified: list[int] = []
        live = on_time(app, events[-LIVE:], PER_SECOND, _verifying(app, verified))
    return {
        "events": options.events,
        "live_per_second": PER_SECOND,
        "verified_meanwhile": sum(verified),
        **{f"{name}_quiet": quiet[name] for name in ("p50_ms", "p99_ms")},
        **{f"{name}_beside": live[name] for name in ("p50_ms", "p99_ms")},
    }


@contextmanager
def _verifying(app: Application, verified: list[int]) -> Iterator[None]:
    """Let the workers verify everything until the end, and note how many events it were."""
    over = threading.Event()

    def again() -> None:
        while not over.is_set():
            name, batches = app.verifier("bench").begin()
            app.queue.enqueue(batches)
            while (report := report_of(app.store, name, limit=1)).ended_at is None:
                if over.wait(POLL_SECONDS):
                    break
            verified.append(report.events)

    asking = threading.Thread(target=again, name="verifying")
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()
