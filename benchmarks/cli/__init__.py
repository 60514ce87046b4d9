"""`pipeline bench`: what can be measured, measuring it, and what results say."""

from __future__ import annotations

import typer

from benchmarks.cli.judging import compare, predict, report
from benchmarks.cli.kept import show
from benchmarks.cli.running import list_scenarios, run


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Measure this machine: run scenarios, show, compare and extrapolate results. "
        "Figures of different machines don't compare; ratios of runs made side by side do.",
    )
    group.command("list")(list_scenarios)
    group.command("run")(run)
    group.command("show")(show)
    group.command("report")(report)
    group.command("compare")(compare)
    group.command("predict")(predict)
    app.add_typer(group, name="bench")
