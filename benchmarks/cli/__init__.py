"""`pipeline bench`: what can be measured, measuring it, and what results say."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup


class Late(TyperGroup):
    """The group, whose commands are loaded when one of them is asked for.

    Every process of the product reads the whole command line, workers too; the scenarios
    would be a sixth of what it takes them to start.
    """

    def _load(self) -> None:
        if not self.commands:
            from benchmarks.cli.commands import commands  # noqa: PLC0415 - late, as it is said

            self.commands = commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the commands, in their order."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command by its name; None if there is none."""
        self._load()
        return super().get_command(ctx, cmd_name)


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        cls=Late,
        no_args_is_help=True,
        help="Measure this machine: run scenarios, show, compare and extrapolate results. "
        "Figures of different machines don't compare; ratios of runs made side by side do.",
    )
    app.add_typer(group, name="bench")
