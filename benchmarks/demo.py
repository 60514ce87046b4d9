"""`make demo`: the main job on real flights, from nothing to a proof, in about a minute.

Starts embedded servers in a folder of its own, workers and a sweeper; submits a year's (or
less) flights from New York City, some twice and some late; waits until all is done; then
compares every document with a recalculation of the raw file by pandas.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from benchmarks import flights, report
from benchmarks.feeding import Fed, StalledError, feed, processes, wait_for_workers, wait_until_idle
from benchmarks.places import MARK, PlaceTakenError, claim_folder, ensure_alone
from pipeline.settings import Settings
from workers import logs
from workers.bootstrap import Application, Servers, application, process_name, servers
from workers.cli.context import explained

EVENTS: Final = "50000"
"""So many that the whole takes about a minute on two cores."""
SEED: Final = 2013
HANDLERS: Final = "handlers.appointments"
SAMPLE: Final = 4_000
TICK_SECONDS: Final = 0.25
INTERRUPTED: Final = 130

out = Console()


@dataclass(frozen=True)
class Plan:
    """What is to be run: flights of the file, the events they make, the seed."""

    path: Path
    flights: int
    events: int
    seed: int


def main(
    events: Annotated[
        str, typer.Option(help="About so many events, from the first flights on; or 'all'.")
    ] = EVENTS,
    seed: Annotated[int, typer.Option(help="Seed of what is sent twice or late.")] = SEED,
    keep: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--keep", help="Keep the last demo's data, and send on top of it.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.")
    ] = None,
) -> None:
    """Run the main job on real flights, and prove the tables right."""
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    logs.configure("warning", process=process_name("demo"))
    try:
        with explained():
            figures = _demo(_plan(events, seed), keep=keep)
    except PlaceTakenError as error:
        _refuse(str(error))
    except StalledError as error:
        _refuse(str(error), status=1)
    except KeyboardInterrupt:
        out.print("ended; all processes are stopped", highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2, default=str) + "\n")
    if figures["differences"]:
        raise typer.Exit(1)


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _plan(events: str, seed: int) -> Plan:
    try:
        wanted = None if events == "all" else int(events.replace(",", "").replace("_", ""))
    except ValueError:
        _refuse(f"--events takes a number or 'all', not {events!r}")
    if wanted is not None and wanted < 1:
        _refuse("--events takes a number from 1")
    try:
        path = flights.data_file()
    except flights.FlightsMissingError as error:
        _refuse(str(error))
    return Plan(path, *flights.count(path, wanted), seed)


def _demo(plan: Plan, *, keep: bool) -> dict[str, Any]:
    settings, before = _fresh(Settings(), keep=keep)
    out.print(
        f"Starting MongoDB, Redis, {settings.workers} workers and a sweeper; their logs are in "
        f"{settings.data_dir / 'logs'}.",
        highlight=False,
        soft_wrap=True,
    )
    with servers(settings) as where, application(settings, where) as app:
        ensure_alone(app)
        stored = max(before, plan.flights)
        (settings.data_dir / MARK).write_text(json.dumps({"flights": stored}))
        injected = flights.Injected()
        fed, seconds = _run(app, where, plan, injected)
        figures = report.figures(app, fed, seconds) | {
            "flights": plan.flights,
            "seed": plan.seed,
            "sent_twice": injected.duplicates,
            "moved_later": injected.late,
        }
        report.print_run(out, figures, settings)
        figures["differences"] = report.prove(out, app, plan.path, stored)
        report.print_next(out, app)
        return figures


def _fresh(settings: Settings, *, keep: bool) -> tuple[Settings, int]:
    """Settings with a folder and a database of the demo's own, and the flights kept in it."""
    folder = settings.data_dir / "demo"
    mark = claim_folder(folder, wipe=not keep)
    kept = json.loads(mark.read_text() or "{}").get("flights", 0)
    changes: dict[str, Any] = {
        "data_dir": folder,
        "log_level": "warning",
        "handlers": [HANDLERS],
    }
    if settings.mongo_url is not None:
        # A server of the user's own: nothing there is wiped, so each run gets a database.
        changes["database"] = f"demo_{datetime.now(UTC):%Y%m%d_%H%M%S}"
        kept = 0
    return settings.model_copy(update=changes), kept


def _run(
    app: Application, where: Servers, plan: Plan, injected: flights.Injected
) -> tuple[Fed, float]:
    """Submit everything and wait for it; returns what was fed, and the seconds it took."""
    stream = flights.stream(plan.path, plan.flights)
    disordered = flights.disorder(stream, plan.seed, injected=injected)
    with processes(app.settings, where) as supervisor, _bars(plan) as bars:
        wait_for_workers(app, supervisor)

        def tick() -> None:
            supervisor.tend()
            bars.completed(app)

        fed = feed(
            app,
            disordered,
            on_submission=bars.submitted,
            tick=tick,
            sample_every=1 + plan.events // SAMPLE,
            at_once=app.settings.batch_size,
        )
        bars.all_submitted(fed)
        ended = wait_until_idle(app, tick=tick)
        bars.completed(app, now=True)
    return fed, ended - fed.started


class _Bars:
    """Two bars: events submitted, and events whose last handler is done."""

    def __init__(self, progress: Progress, plan: Plan) -> None:
        self._progress = progress
        self._events = plan.events
        self._submitted = self._add("submitted", plan)
        self._completed = self._add("completed", plan)
        self._looked = 0.0

    def submitted(self, fed: Fed) -> None:
        self._progress.update(
            self._submitted,
            completed=fed.submitted,
            total=max(self._events, fed.submitted),
        )

    def all_submitted(self, fed: Fed) -> None:
        self._progress.update(self._submitted, total=fed.submitted)

    def completed(self, app: Application, *, now: bool = False) -> None:
        """Look at the ledger's own count, not at every call."""
        if not now and time.monotonic() - self._looked < TICK_SECONDS:
            return
        self._looked = time.monotonic()
        rows = app.store.counts(["ledger"])["ledger"]
        done = rows // sum(1 for _ in app.registry)
        self._progress.update(self._completed, completed=done, total=max(self._events, done))

    def _add(self, name: str, plan: Plan) -> TaskID:
        return self._progress.add_task(name, total=plan.events)


@contextmanager
def _bars(plan: Plan) -> Iterator[_Bars]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=out,
    ) as progress:
        yield _Bars(progress, plan)


def _refuse(message: str, *, status: int = 2) -> NoReturn:
    sys.stderr.write(f"demo: {message}\n")
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
