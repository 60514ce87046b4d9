"""The command `initiate`: a MongoDB of one's own becomes a replica set of one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from workers.cli.context import Exit, Json, cell, explained, fail, out, print_json, settings_from
from workers.initiation import initiate as initiated


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(initiate)


def initiate(
    wait: Annotated[
        float, typer.Option(help="Seconds until it is given up.", min=0, max=3600)
    ] = 60.0,
    as_json: Json = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Make the MongoDB of PIPELINE_MONGO_URL a replica set of one, and wait for its primary.

    Needed once in the life of a MongoDB that was started with --replSet; it remembers. Run again,
    nothing changes, so whatever needs MongoDB can be started after this command. The set is named
    as in the address (?replicaSet=NAME), and its member is the server that the address names.
    """
    url = settings_from().mongo_url
    if url is None:
        fail(
            "PIPELINE_MONGO_URL is not set, and the embedded MongoDB is initiated as it starts",
            Exit.USAGE,
        )
    with explained():
        found = initiated(url.get_secret_value(), wait)
    if as_json:
        print_json(asdict(found))
        return
    how = "initiated" if found.new else "was initiated before"
    out.print(
        f"[green]✓[/] replica set {cell(found.name)} of {cell(found.member)}: {how}, and has a "
        "primary",
        highlight=False,
        soft_wrap=True,
    )
