"""The command `up`: everything in one terminal, with a table of how it stands."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.errors import Unavailable
from pipeline.metrics.own import own_registry, serve
from pipeline.settings import Settings
from workers import logs
from workers.bootstrap import application, process_name, servers
from workers.cli.context import cell, err, explained, out, settings_from
from workers.doctor import without_secret
from workers.lookout import Lookout
from workers.metrics import Children
from workers.monitor import Snapshot, snapshot
from workers.supervision import Phase
from workers.supervisor import ChildView, Supervisor

TICK_SECONDS: Final = 0.2
SILENCE_SECONDS: Final = 600.0
"""So long the servers may be silent before we end: longer than somebody takes to mend them."""
ERROR_CHARACTERS: Final = 120


def up(
    workers: Annotated[int | None, typer.Option(help="Worker processes.", min=1, max=64)] = None,
) -> None:
    """Run everything in this terminal: servers, workers and sweeper.

    Ctrl-C drains: each worker finishes the batch it has begun, then all end. What has not
    ended after PIPELINE_DRAIN_SECONDS is killed, and by a second Ctrl-C at once. Logs are in
    PIPELINE_DATA_DIR/logs, a file for each process.
    """
    settings = settings_from(workers=workers)
    logs.configure("warning", process=process_name("up"))
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: asked.append(received))
    with explained(), servers(settings) as where, application(settings, where) as app:
        supervisor = Supervisor(
            app.clock,
            settings.data_dir / "logs",
            where.environment(),
            drain_seconds=settings.drain_seconds,
        )
        port = settings.metrics_port
        supervisor.add_workers(
            settings.workers,
            ceiling_mib=settings.worker_memory_mib,
            first_port=port + 2 if port else 0,
        )
        supervisor.add("sweeper", "sweeper", "--metrics-port", str(port + 1 if port else 0))
        told = own_registry("up", Children(supervisor.children), revision=settings.revision)
        serve(told, settings.metrics_host, port)
        if settings.dashboard_port:
            console = str(port + 2 + settings.workers if port else 0)
            supervisor.add("console", "--metrics-port", console, module="dashboards")
        try:
            with Lookout(lambda: snapshot(app), app.clock) as lookout:
                _greet(settings)
                _watch(supervisor, lookout, asked)
        finally:
            killed = supervisor.stop()
    if killed:
        err.print(f"killed: {cell(', '.join(killed))}; what they had begun is run again")


def _greet(settings: Settings) -> None:
    out.print(
        f"[bold]pipeline[/] is up: {settings.workers} workers, 1 sweeper. "
        f"In another terminal: [cyan]pipeline ingest FILE[/], [cyan]pipeline status[/]. "
        f"Ctrl-C drains and ends."
    )
    if settings.dashboard_port:
        where = f"http://{settings.dashboard_host}:{settings.dashboard_port}/ops/"
        out.print(f"console: [cyan]{where}[/]; who may log in is in the log [cyan]console[/]")


def _watch(supervisor: Supervisor, lookout: Lookout[Snapshot], asked: Sequence[int]) -> None:
    """Tend and show, until all have ended as they were asked to.

    Args:
        supervisor: what is tended.
        lookout: what is shown.
        asked: the signals we got so far; the first drains, the second kills.

    Raises:
        Unavailable: the servers have not answered for a minute.
    """
    told = False
    with Live(console=out, refresh_per_second=4, transient=True) as live:
        while not supervisor.ended():
            if asked and not told:
                err.print("draining …; Ctrl-C again kills at once")
                supervisor.quiet()
                told = True
            if len(asked) > 1:
                supervisor.kill()
            supervisor.tend()
            live.update(table(lookout.latest, lookout.error, supervisor.children()))
            if not asked and lookout.silence() > SILENCE_SECONDS:
                reason = without_secret(lookout.error) or "they hang"
                raise Unavailable(f"no answer of the servers for {SILENCE_SECONDS:g} s: {reason}")
            time.sleep(TICK_SECONDS)


def table(now: Snapshot | None, error: str, children: Sequence[ChildView]) -> Table:
    """What `up` shows.

    Args:
        now: the latest look at the servers; None before the first.
        error: why a newer look failed; empty when it did not.
        children: the supervised processes.
    """
    shown = Table.grid(padding=(0, 2))
    well = [child for child in children if child.phase is Phase.RUNNING and not child.looping]
    shown.add_row("running", Text(", ".join(f"{child.name} ({child.pid})" for child in well)))
    for child in children:
        if child not in well:
            shown.add_row(cell(child.name), _told(child))
    if now is not None:
        shown.add_row("events", f"{now.events:,}")
        waiting = ", ".join(f"{h} {events:,}" for h, (_, events) in sorted(now.backlog.items()))
        shown.add_row("waiting", cell(waiting) or "[green]nothing[/]")
        trouble = ", ".join(f"{state} {count:,}" for state, count in sorted(now.trouble.items()))
        shown.add_row("trouble", f"[red]{trouble}[/]" if trouble else "[green]none[/]")
    if error:
        shown.add_row("servers", Text(f"no answer: {_short(without_secret(error))}", style="red"))
    return shown


def _told(child: ChildView) -> Text:
    """A process that is not simply running; in red where a person should look."""
    reason = f": {_short(child.last_line)}" if child.last_line else ""
    return Text(child.words + reason, style="bold red" if child.looping else "yellow")


def _short(text: str) -> str:
    return text if len(text) <= ERROR_CHARACTERS else text[: ERROR_CHARACTERS - 1] + "…"
