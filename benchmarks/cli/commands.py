"""The commands of `pipeline bench`, put together."""

from __future__ import annotations

from typing import Any

import typer
from typer.main import get_group

from benchmarks.cli.judging import compare, predict, report
from benchmarks.cli.kept import show
from benchmarks.cli.running import list_scenarios, run


def commands() -> dict[str, Any]:
    """Give them by their names, in the order in which they are listed."""
    group = typer.Typer()
    group.command("list")(list_scenarios)
    group.command("run")(run)
    group.command("show")(show)
    group.command("report")(report)
    group.command("compare")(compare)
    group.command("predict")(predict)
    return dict(get_group(group).commands)
