"""`pipeline chaos`: try everything that can go wrong, and see whether anything does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from workers import logs
from workers.bootstrap import process_name
from workers.chaos import Options, OutageTooLongError, Verdict
from workers.chaos import run as run_chaos
from workers.chaos.run import Progress
from workers.cli.context import Exit, Json, err, explained, fail, out, print_json

LOG = "chaos.log"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    chaos = typer.Typer(
        no_args_is_help=True,
        help="Kill, freeze, wipe and cut everything off, and compare with an oracle.",
    )
    chaos.command("run")(run)
    app.add_typer(chaos, name="chaos")


def run(  # noqa: PLR0913 - a command names all its options
    *,
    seed: Annotated[int, typer.Option(help="The same seed is the same events and faults.")] = 1,
    minutes: Annotated[
        float, typer.Option(help="So long events are sent and faults injected.", min=0.1, max=1440)
    ] = 2.0,
    events: Annotated[
        int, typer.Option(help="Most events; 0 for as many as fit into the time.", min=0)
    ] = 0,
    every: Annotated[
        float, typer.Option(help="Seconds between faults, on average.", min=0.2)
    ] = 4.0,
    outage: Annotated[
        float, typer.Option(help="Seconds for which Redis, then MongoDB, are gone.", min=0)
    ] = 0.0,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 2,
    folder: Annotated[
        Path | None, typer.Option(help="For data and logs, kept; a temporary one otherwise.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run real workers and servers of their own, and inject faults while events are sent.

    Workers, the sweeper and the supervisor are killed and stopped, Redis is wiped, killed and
    cut off, the MongoDB primary (of three members) is killed, stopped and made to step down.
    Events come late and twice, and handlers raise. Then every table is compared with a
    sequential run of the same events in memory, and the ledger with what it should hold.

    Exit status: 0 where nothing was lost, doubled or wrong, 1 where something was, or the
    run did not do all that was asked for.
    """
    with tempfile.TemporaryDirectory(prefix="pipeline-chaos-") as temporary:
        where = folder or Path(temporary)
        where.mkdir(parents=True, exist_ok=True)
        logs.configure("info", process=process_name("chaos"), path=where / LOG)
        options = Options(
            seed=seed,
            minutes=minutes,
            folder=where,
            count=events,
            every=every,
            outage=outage,
            workers=workers,
        )
        try:
            with explained():
                verdict = _run(options)
        except OutageTooLongError as error:
            fail(str(error), Exit.USAGE)
    if as_json:
        print_json(verdict.to_json())
    else:
        _print(verdict)
    if not verdict.clean:
        raise typer.Exit(Exit.FAILED)


def _run(options: Options) -> Verdict:
    with Live(console=err, refresh_per_second=2, transient=True) as live:
        return run_chaos(options, tick=lambda progress: live.update(_line(progress, options)))


def _line(progress: Progress, options: Options) -> Table:
    line = Table.grid(padding=(0, 2))
    line.add_row(
        progress.phase,
        f"{progress.seconds:,.0f} of {options.minutes * 60:,.0f} s",
        f"{progress.sent:,} sent",
        f"{progress.pending:,} batches pending",
        f"{progress.faults:,} faults",
    )
    return line


def _print(verdict: Verdict) -> None:
    faults = Table("fault", "times", title="Injected", title_justify="left")
    faults.columns[1].justify = "right"
    for kind, count in sorted(verdict.faults.items()):
        faults.add_row(kind, f"{count:,}")
    out.print(faults)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("seed", str(verdict.seed))
    facts.add_row("events", f"{verdict.events:,}, sent {verdict.sent:,} times")
    facts.add_row("effects", f"{verdict.audit.rows:,}, {verdict.retried:,} of them not at once")
    facts.add_row("late", f"{verdict.late:,} events healed their documents")
    if verdict.set_aside:
        facts.add_row("set aside", f"{verdict.set_aside:,} whose workers were killed, put back")
    facts.add_row(
        "outside",
        f"{verdict.outside.keys:,} effects; {verdict.outside.repeated:,} again, under their keys",
    )
    facts.add_row("time", f"{verdict.seconds:,.0f} s")
    for name, count in (
        ("lost", verdict.lost),
        ("doubled", verdict.doubled),
        ("wrong", verdict.wrong),
        ("overlaps", len(verdict.overlaps)),
    ):
        facts.add_row(name, f"[green]{count}[/]" if not count else f"[bold red]{count:,}[/]")
    out.print(facts)
    for line in verdict.details():
        err.print(line, style="red", highlight=False, markup=False)
    for line in verdict.reservations:
        out.print(f"[yellow]![/] {line}", highlight=False)
    sign = "[green]✓[/] as if nothing had happened" if verdict.clean else "[red]✗[/] not clean"
    out.print(f"{sign}: {sum(verdict.faults.values())} faults", highlight=False)
