"""Commands that run one process, or look at the machine: `worker`, `sweeper`, `doctor`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pipeline.declarations import Lane
from workers import logs, sweeper, worker
from workers.bootstrap import process_name
from workers.cli.context import Exit, Json, cell, opened, out, print_json, settings_from
from workers.cli.up import up
from workers.doctor import checks

MetricsPort = Annotated[
    int | None,
    typer.Option(
        help="Port for /metrics, instead of PIPELINE_METRICS_PORT; 0: none.", min=0, max=65535
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command("worker")(run_worker)
    app.command("sweeper")(run_sweeper)
    app.command()(doctor)


def run_worker(
    name: Annotated[str, typer.Option(help="Name in ledger and logs.")] = "worker",
    metrics_port: MetricsPort = None,
    first: Annotated[Lane, typer.Option(help="The lane it takes from first.")] = Lane.OBSERVERS,
) -> None:
    """Run one worker: it takes batches from the lanes until SIGTERM.

    Of several workers some should look at each lane first: two of them adding to the same
    totals at once only get in each other's way.
    """
    settings = settings_from(metrics_port=metrics_port)
    logs.configure(settings.log_level, process=process_name(name))
    with opened(settings) as app:
        worker.run(app, name, [first, *(lane for lane in Lane if lane is not first)])


def run_sweeper(metrics_port: MetricsPort = None) -> None:
    """Run the sweeper: it enqueues again whatever no job stands for.

    Its metrics are those of the whole pipeline; other processes tell of themselves only.
    """
    settings = settings_from(metrics_port=metrics_port)
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
            out.print(f"{sign} {cell(check.name)}: {cell(check.detail)}", highlight=False)
            if check.hint:
                out.print(f"  → {cell(check.hint)}", style="dim", highlight=False)
    if not all(check.ok for check in found):
        raise typer.Exit(Exit.FAILED)
