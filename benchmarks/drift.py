"""Verification by recalculation: what it finds and mends, how fast, and what it costs others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, Final

from benchmarks.bench import Bench, plain
from benchmarks.feeding import POLL_SECONDS, StalledError, feed, wait_until_idle
from benchmarks.measuring import Commits, began_by_ledger, latency_of
from benchmarks.planting import plant
from benchmarks.product import Told
from benchmarks.results import Latency
from benchmarks.spec import Spec
from benchmarks.timetable import send
from benchmarks.workload import in_order
from pipeline import Event
from pipeline.verification import Report, report_of
from workers.bootstrap import Application
from workers.supervisor import Supervisor

PLANTED: Final = 1_000
SEED: Final = 2013
SHOWN: Final = 10_000
PER_SECOND: Final = 25
"""Single events, live, while everything is verified."""
LIVE: Final = 500


def verify(bench: Bench, spec: Spec, told: Told) -> dict[str, Any]:
    """`verify --all` of the events after 1,000 documents were corrupted, and its repair."""
    began_at = datetime.now(UTC)
    with bench.fresh(workers=spec.workers) as app, bench.working(app) as supervisor:
        feed(app, in_order(spec.workload), tick=supervisor.tend)
        wait_until_idle(app, tick=supervisor.tend)
        planted = plant(app.store, app.registry, SEED, PLANTED)
        told("verifying", spec.workload.events)
        found, seconds = _verified(app, supervisor)
        told("putting right", spec.workload.events)
        mended, mending = _verified(app, supervisor, repairs=True)
        after, _ = _verified(app, supervisor)
    named = {(finding.table, finding.id) for finding in found.findings}
    return plain(spec, began_at, found.events, seconds) | {
        "figures": {
            "planted": len(planted),
            "found": len(named & planted),
            "found_and_not_planted": len(named - planted),
            "put_right": mended.repaired,
            "repair_s": round(mending, 1),
            "wrong_afterwards": sum(after.wrong.values()) + after.unknown,
            "documents": found.documents,
        }
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


def beside(bench: Bench, spec: Spec, told: Told) -> dict[str, Any]:
    """How long live events take while the same workers verify everything, again and again."""
    began_at, started = datetime.now(UTC), time.monotonic()
    with bench.fresh(workers=spec.workers) as app, bench.working(app) as supervisor:
        events = list(in_order(spec.workload))
        before = len(events) - 2 * LIVE
        feed(app, events[:before], tick=supervisor.tend)
        wait_until_idle(app, tick=supervisor.tend)
        told("sending on time", before)
        quiet = _live(app, events[before:-LIVE])
        verified: list[int] = []
        told("sending on time, and verifying", before + LIVE)
        busy = _live(app, events[-LIVE:], _verifying(app, verified))
    seconds = time.monotonic() - started
    return plain(spec, began_at, len(events), seconds) | {
        "latency": busy,
        "figures": {
            "verified_meanwhile": sum(verified),
            "quiet_p50_ms": quiet.end_to_end.p50 if quiet else 0.0,
            "quiet_p99_ms": quiet.end_to_end.p99 if quiet else 0.0,
            "beside_p50_ms": busy.end_to_end.p50 if busy else 0.0,
            "beside_p99_ms": busy.end_to_end.p99 if busy else 0.0,
        },
    }


def _live(
    app: Application,
    events: Sequence[Event],
    beside: AbstractContextManager[object] = nullcontext(),  # noqa: B008 - it has no state
) -> Latency | None:
    commits = Commits(app.store.database)
    with beside:
        due = send(lambda event: app.dispatcher.submit([event]), events, PER_SECOND)
    wait_until_idle(app)
    committed = commits.last()
    return latency_of(due, began_by_ledger(app.store, committed), committed)


@contextmanager
def _verifying(app: Application, verified: list[int]) -> Iterator[None]:
    """Let the workers verify everything until the end, and note how many events it were.

    Raises:
        StalledError: nothing was verified meanwhile, so nothing was measured beside it.
    """
    over = threading.Event()
    faults: list[BaseException] = []

    def again() -> None:
        while not over.is_set():
            name, batches = app.verifier("bench").begin()
            app.queue.enqueue(batches)
            while (report := report_of(app.store, name, limit=1)).ended_at is None:
                if over.wait(POLL_SECONDS):
                    break
            verified.append(report.events)

    def ask() -> None:
        try:
            again()
        except BaseException as fault:  # noqa: BLE001 - told by the thread that waits for us
            faults.append(fault)

    asking = threading.Thread(target=ask, name="verifying")
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()
    if faults:
        raise faults[0]
    if not sum(verified):
        raise StalledError("nothing was verified meanwhile: there is nothing to compare with")
