"""The root of the command line: global options, and every command in its place."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import Annotated, Final

import typer

from workers import logs
from workers.bootstrap import process_name
from workers.cli import (
    chaos,
    conversions,
    dead,
    effects,
    events,
    export,
    hold,
    initiate,
    late,
    locks,
    processes,
    tables,
    undo,
    verification,
)

COMMANDS: Final = "pipeline.commands"
"""Entry points that add commands: functions that take the command line."""

app = typer.Typer(
    name="pipeline",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="""Sync external systems into MongoDB, event by event, exactly once.

Settings come from the environment (PIPELINE_*) or a .env file. Without PIPELINE_MONGO_URL and
PIPELINE_REDIS_URL an embedded MongoDB and Redis are started, and kept in PIPELINE_DATA_DIR.

Exit status: 0 done, 1 not found or failed, 2 wrong usage or setting, 3 some input refused,
4 a server is missing or does not answer, 5 it goes on and its end is not known yet.""",
)


@app.callback()
def options(
    handlers: Annotated[
        str | None,
        typer.Option(
            help="Modules that declare handlers, comma-separated; instead of PIPELINE_HANDLERS.",
            metavar="PKG.MODULE[,…]",
        ),
    ] = None,
) -> None:
    """Options for every command."""
    # On standard error, so that what a command prints stays what it is asked for.
    logs.configure("warning", process=process_name("cli"))
    if handlers is not None:
        # Through the environment, so that the processes we start see it too.
        os.environ["PIPELINE_HANDLERS"] = handlers


for module in (
    processes,
    initiate,
    events,
    export,
    tables,
    conversions,
    verification,
    undo,
    dead,
    effects,
    late,
    hold,
    locks,
    chaos,
):
    module.register(app)


def main() -> None:
    """Run the command line, with the commands of packages above this one and of projects."""
    for found in entry_points(group=COMMANDS):
        found.load()(app)
    app()
