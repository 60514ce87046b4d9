"""A command of the domain of appointments: `conversions`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from handlers.appointments.observers import count_conversion
from handlers.appointments.queries import LeadConversions, conversions
from workers.cli.context import Json, cell, moment, opened, out, print_json, settings_from
from workers.cli.times import moment_option


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("conversions")(show)


def show(
    *,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    lead: Annotated[str | None, typer.Option(help="Only of this lead.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only through this channel.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment_option,
            metavar="TIME",
            help="Only outcomes of then or later: ISO 8601, or 2h, 3d for ago.",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=moment_option, metavar="TIME", help="Only outcomes before then."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Most rows.", min=1, max=10_000)] = 100,
    as_json: Json = False,
) -> None:
    """Show what became of the appointments of each lead and channel.

    In all, or within a range of time: then every change within it is counted anew, by the
    times of the events.

    Example: pipeline conversions --tenant city-hotel --lead 9 --since 2016-01-01 --until 2017-01-01
    """
    with opened(settings_from()) as app:
        app.registry.handler(count_conversion.name)  # or its tables are not there
        found = conversions(
            app.store,
            tenant=tenant,
            lead=lead,
            channel=channel,
            since=since,
            until=until,
            limit=limit,
        )
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _print(found)


def _print(found: list[LeadConversions]) -> None:
    statuses = sorted({status for one in found for status in one.outcomes})
    columns = ("tenant", "lead", "channel", *map(cell, statuses), "first", "last")
    shown = Table(*columns, title=f"conversions: {len(found)} shown", title_justify="left")
    for column in shown.columns[3:-2]:
        column.justify = "right"
    for one in found:
        counts = (f"{one.outcomes.get(status, 0):,}" for status in statuses)
        times = (moment(one.first_at), moment(one.last_at))
        shown.add_row(cell(one.tenant), cell(one.lead), cell(one.channel), *counts, *times)
    out.print(shown)
