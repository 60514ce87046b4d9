"""Commands that run processes: `up`, `worker`, `sweeper`, `doctor`."""

from __future__ import annotations

import signal
import threading
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from pipeline.declarations import Lane
from workers import logs, sweeper, worker
from workers.bootstrap import Application, application, process_name, servers
from workers.cli.context import Exit, Json, err, explained, opened, out, print_json, settings_from
from workers.doctor import checks
from workers.monitor import Snapshot, snapshot
from workers.supervisor import Supervisor

REFRESH_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command("worker")(run_worker)
    app.command("sweeper")(run_sweeper)
    app.command()(doctor)


def up(
    workers: Annotated[int | None, typer.Option(help="Worker processes.", min=1, max=64)] = None,
) -> None:
    """Run everything in this terminal: servers, workers and sweeper.

    Ctrl-C drains: each worker finishes the batch it has begun, then all end. Logs are in
    PIPELINE_DATA_DIR/logs, a file for each process.
    """
    settings = settings_from(workers=workers)
    logs.configure("warning", process=process_name("up"))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with explained(), servers(settings) as where, application(settings, where) as app:
        supervisor = Supervisor(app.clock, settings.data_dir / "logs", where.environment())
        supervisor.add_workers(settings.workers)
        supervisor.add("sweeper", "sweeper")
        if settings.dashboard_port:
            supervisor.add("rq-dashboard", module="dashboards")
        try:
            _watch(app, supervisor, stop)
        finally:
            err.print("draining …")
            killed = supervisor.stop()
    if killed:
        err.print(f"killed after the deadline: {', '.join(killed)}; their batches run again")


def _watch(app: Application, supervisor: Supervisor, stop: threading.Event) -> None:
    out.print(
        f"[bold]pipeline[/] is up: {app.settings.workers} workers, 1 sweeper. "
        f"In another terminal: [cyan]pipeline ingest FILE[/], [cyan]pipeline status[/]. "
        f"Ctrl-C drains and ends."
    )
    if app.settings.dashboard_port:
        out.print(f"rq-dashboard: [cyan]http://127.0.0.1:{app.settings.dashboard_port}[/]")
    supervisor.tend()
    with Live(console=out, refresh_per_second=4, transient=True) as live:
        while not stop.is_set():
            supervisor.tend()
            live.update(_table(snapshot(app), supervisor.pids()))
            stop.wait(REFRESH_SECONDS)


def _table(now: Snapshot, pids: dict[str, int]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row("running", ", ".join(f"{name} ({pid})" for name, pid in pids.items()))
    table.add_row("events", f"{now.events:,}")
    waiting = ", ".join(f"{h} {events:,}" for h, (_, events) in sorted(now.backlog.items()))
    table.add_row("waiting", waiting or "[green]nothing[/]")
    trouble = ", ".join(f"{state} {count:,}" for state, count in sorted(now.trouble.items()))
    table.add_row("trouble", f"[red]{trouble}[/]" if trouble else "[green]none[/]")
    return table


def run_worker(
    name: Annotated[str, typer.Option(help="Name in ledger and logs.")] = "worker",
    first: Annotated[Lane, typer.Option(help="The lane it takes from first.")] = Lane.OBSERVERS,
) -> None:
    """Run one worker: it takes batches from the lanes until SIGTERM.

    Of several workers some should look at each lane first: two of them adding to the same
    totals at once only get in each other's way.
    """
    settings = settings_from()
    logs.configure(settings.log_level, process=process_name(name))
    with opened(settings) as app:
        worker.run(app, name, [first, *(lane for lane in Lane if lane is not first)])


def run_sweeper() -> None:
    """Run the sweeper: it enqueues again whatever no job stands for."""
    settings = settings_from()
    logs.configure(settings.log_level, process=process_name("sweeper"))
    with opened(settings) as app:
        sweeper.run(app)


def doctor(as_json: Json = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Check all that the pipeline needs on this machine, and say what is missing."""
    settings = settings_from()
    found = list(
        checks(
            redis_url=settings.redis_url.get_secret_value() if settings.redis_url else None,
            mongo_url=settings.mongo_url.get_secret_value() if settings.mongo_url else None,
            data_dir=settings.data_dir,
        )
    )
    if as_json:
        rows: list[dict[str, Any]] = [
            {"name": c.name, "ok": c.ok, "detail": c.detail, "hint": c.hint} for c in found
        ]
        print_json(rows)
    else:
        for check in found:
            sign = "[green]✓[/]" if check.ok else "[red]✗[/]"
            out.print(f"{sign} {check.name}: {check.detail}", highlight=False)
            if check.hint:
                out.print(f"  → {check.hint}", style="dim", highlight=False)
    if not all(check.ok for check in found):
        raise typer.Exit(Exit.FAILED)
