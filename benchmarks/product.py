"""Runs of this project: its own workers, on a database of their own, measured from all sides."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, Final

from benchmarks.bench import Bench
from benchmarks.failing import declaring
from benchmarks.feeding import Fed, feed, wait_until_idle
from benchmarks.judging import judge
from benchmarks.measuring import Commits, Meter, Sampler, began_by_ledger, latency_of
from benchmarks.results import Load, Reliability
from benchmarks.spec import Spec
from benchmarks.timetable import send
from benchmarks.warming import warm_up
from benchmarks.workload import SYNTHETIC, Workload, arriving, in_order
from pipeline import Event
from pipeline.store.policies import LockPolicies, Scope
from workers.bootstrap import Application
from workers.supervisor import Supervisor

Told = Callable[[str, int], None]
"""Told what is going on, and how many events of it are done."""

BEFORE: Final = "before"
"""Source of events that are stored before anything is measured."""


def measure(bench: Bench, spec: Spec, told: Told) -> dict[str, Any]:
    """Make one run.

    Args:
        bench: where.
        spec: what kind of run.
        told: of the progress.

    Returns:
        The fields of a `Run`, but for those that say of which scenario it is.

    Raises:
        StalledError: the workers do nothing any more.
        PlaceTakenError: others use these servers.
    """
    with (
        declaring(spec.failing) as failing,
        bench.fresh(workers=spec.workers, **spec.settings, **failing) as app,
    ):
        if not spec.locks:
            policies = LockPolicies(app.store.database)
            policies.change(Scope(None, None), {"enabled": False}, app.clock.now())
        with bench.working(app) as supervisor:
            if not spec.failing:
                warm_up(app, spec.workers, supervisor.tend)
            _store_before(app, spec.stored, supervisor, told)
            load = _bulk if spec.load is Load.BULK else _on_time
            meter = Meter(app.store.database.client, app.redis)
            sampler = Sampler(lambda: {**supervisor.pids(), **bench.beside})
            with meter, sampler, _killing(app, spec.kill_every) as kills:
                found = load(app, spec, supervisor, told)
        told("looking at what came of it", 0)
        reliability = _reliability(app, spec, found.pop("duplicates"))
    return {
        "subject": spec.subject,
        "load": spec.load,
        "workers": spec.workers,
        "seed": spec.workload.seed,
        "offered_per_second": spec.per_second,
        "usage": sampler.usage(),
        "cost": meter.cost,
        "reliability": reliability,
        "settings": spec.settings | ({} if spec.locks else {"locks": False}),
        "notes": [f"{len(kills)} workers were killed while they worked"] if kills else [],
        **found,
    }


def _bulk(app: Application, spec: Spec, supervisor: Supervisor, told: Told) -> dict[str, Any]:
    """As many as go through."""
    began_at = datetime.now(UTC)
    fed = feed(
        app,
        arriving(spec.workload).events,
        on_submission=lambda fed: told("sending", fed.submitted),
        tick=supervisor.tend,
        at_once=app.settings.batch_size if spec.by_batch else None,
    )
    backlog = _waiting(app)
    seconds = wait_until_idle(app, tick=supervisor.tend) - fed.started
    return _sent(fed, began_at, seconds, backlog)


def _sent(fed: Fed, began_at: datetime, seconds: float, backlog: int) -> dict[str, Any]:
    return {
        "began_at": began_at,
        "seconds": round(seconds, 3),
        "events": fed.accepted,
        "sent": fed.submitted,
        "backlog": backlog,
        "duplicates": fed.duplicates,
    }


def _on_time(app: Application, spec: Spec, supervisor: Supervisor, told: Told) -> dict[str, Any]:
    """Single events on their timetable."""
    assert spec.per_second is not None  # noqa: S101 - the spec has checked it
    fed = Fed(started=time.monotonic())
    counting = threading.Lock()

    def submit(event: Event) -> None:
        receipt = app.dispatcher.submit([event])
        with counting:
            fed.add(receipt)
            fed.submitted += 1
            told("sending on time", fed.submitted)

    commits, began_at = Commits(app.store.database), datetime.now(UTC)
    due = send(submit, arriving(spec.workload).events, spec.per_second)
    backlog = _waiting(app)
    seconds = wait_until_idle(app, tick=supervisor.tend) - fed.started
    committed = commits.last()
    latency = latency_of(due, began_by_ledger(app.store, committed), committed)
    return _sent(fed, began_at, seconds, backlog) | {"latency": latency}


def _waiting(app: Application) -> int:
    """Events that wait for the first handler they have not been through."""
    backlog = app.store.records.batches.backlog()
    return sum(events for _, events in backlog.values())


def _store_before(app: Application, count: int, supervisor: Supervisor, told: Told) -> None:
    """Let so many other events be worked off first."""
    if not count:
        return
    earlier = in_order(Workload(source=SYNTHETIC, events=count, tenants=20, seed=1))
    events = (event.model_copy(update={"source": BEFORE}) for event in earlier)
    feed(
        app,
        events,
        on_submission=lambda fed: told("storing what was there before", fed.submitted),
        tick=supervisor.tend,
        sample_every=max(1, count),
    )
    wait_until_idle(app, tick=supervisor.tend)


@contextmanager
def _killing(app: Application, every: float | None) -> Iterator[list[str]]:
    """Kill a worker that holds work, again and again; the names of the killed."""
    killed: list[str] = []
    if every is None:
        yield killed
        return
    over = threading.Event()

    def strike() -> None:
        while not over.wait(every):
            held = (name for name, jobs in app.heartbeats.running().items() if jobs)
            name = next((one for one in held if one not in killed), None)
            if name is not None:
                killed.append(name)
                os.kill(int(name.rpartition("-")[2]), signal.SIGKILL)

    striking = threading.Thread(target=strike, name="killing", daemon=True)
    striking.start()
    try:
        yield killed
    finally:
        over.set()
        striking.join()


def _reliability(app: Application, spec: Spec, duplicates: int) -> Reliability:
    """What went wrong; where the run is to be judged, by comparing every table."""
    known = _attempts(app) | {"duplicates": duplicates}
    if spec.failing is not None:
        known["doomed"] = sum(spec.failing.gives_up(event.key) for event in _all(spec))
    if not spec.judged:
        return Reliability(**known)
    lines = [event.model_dump_json().encode() for event in _all(spec)]
    verdict = judge(app.store, app.registry, lines)
    found = verdict.audit
    return Reliability(
        **known,
        late=verdict.late,
        lost=found.lost.count + found.unfinished.count,
        doubled=found.doubled.count + found.unexpected.count,
        wrong=verdict.wrong_documents,
    )


def _attempts(app: Application) -> dict[str, int]:
    """Attempts that failed, those after the first, and events that were given up."""
    ledger = app.store.database["ledger"]
    # A row says which attempt its last one was, where it was not the first.
    again = {"$match": {"attempt": {"$gt": 1}}}
    summed = {"$group": {"_id": None, "attempts": {"$sum": "$attempt"}, "rows": {"$sum": 1}}}
    found = next(iter(ledger.aggregate([again, summed])), {"attempts": 0, "rows": 0})
    retries = found["attempts"] - found["rows"]
    dead = app.store.records.ledger.in_trouble().get("dead", 0)
    return {"errors": retries + dead, "retries": retries, "dead": dead}


def _all(spec: Spec) -> Iterable[Event]:
    before = in_order(Workload(source=SYNTHETIC, events=max(1, spec.stored), tenants=20, seed=1))
    earlier = (event.model_copy(update={"source": BEFORE}) for event in before)
    return chain(islice(earlier, spec.stored), in_order(spec.workload))
