"""Commands that look: `status`, `query`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from pipeline.querying import query
from pipeline.store import LedgerState
from workers.cli.context import Json, cell, opened, out, print_json, settings_from
from workers.monitor import Snapshot, snapshot


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command("query")(query_table)


def status(as_json: Json = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Show how much is stored, waiting, running and in trouble."""
    with opened(settings_from()) as app:
        now = snapshot(app)
    if as_json:
        print_json(asdict(now))
    else:
        _print_status(now)


def _print_status(now: Snapshot) -> None:
    out.print(
        f"[bold]{now.events:,}[/] events stored; turned away: {now.copies:,} duplicates, "
        f"{now.conflicts:,} with another content",
        highlight=False,
    )
    stored = Table("table", "documents", title="Tables", title_justify="left")
    stored.columns[1].justify = "right"
    for name, count in now.tables.items():
        stored.add_row(name, f"{count:,}")
    out.print(stored)
    waiting = Table("handler", "batches", "events", title="Waiting", title_justify="left")
    for handler, (batches, events) in sorted(now.backlog.items()):
        waiting.add_row(handler, f"{batches:,}", f"{events:,}")
    out.print(waiting if now.backlog else "[green]✓[/] nothing is waiting")
    running = ", ".join(f"{name} ({_doing(jobs)})" for name, jobs in sorted(now.workers.items()))
    out.print(f"workers: {running or '[yellow]none are running[/]'}", highlight=False)
    lanes = ", ".join(f"{lane} {length:,}" for lane, length in now.lanes.items())
    out.print(f"jobs in RQ: {lanes}", highlight=False)
    for state, count in sorted(now.trouble.items()):
        out.print(_trouble(state, count), highlight=False)


def _trouble(state: str, count: int) -> str:
    """How many events are in trouble, and what to do about those nobody tries again."""
    if state != LedgerState.DEAD:
        return f"[yellow]{count:,} {state}[/]"
    letters = "dead letter" if count == 1 else "dead letters"
    return f"[red]{count:,} {letters}[/]; to look at them: [cyan]pipeline dead list[/]"


def _doing(jobs: Sequence[str]) -> str:
    """What a worker does; the first of its jobs where it runs many together."""
    if not jobs:
        return "idle"
    return jobs[0] if len(jobs) == 1 else f"{jobs[0]} and {len(jobs) - 1} more"


def query_table(
    table: Annotated[str, typer.Argument(help="A table that a handler writes.")],
    conditions: Annotated[
        list[str] | None,
        typer.Argument(help="Such as status=canceled or 'outcomes.completed>=2'; all hold."),
    ] = None,
    *,
    key: Annotated[str | None, typer.Option(help="Only the document of this id.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only documents of this tenant.")] = None,
    limit: Annotated[int, typer.Option(help="Most documents.", min=1, max=10_000)] = 20,
    as_json: Json = False,
) -> None:
    """Look into a table, by key, tenant and field values.

    Example: pipeline query rs_appointments status=canceled --tenant resort-hotel
    """
    with opened(settings_from()) as app:
        rows = query(
            app.store,
            app.registry,
            table,
            key=key,
            tenant=tenant,
            conditions=tuple(conditions or ()),
            limit=limit,
        )
    if as_json:
        print_json(rows)
        return
    # Stamps are for programs; to a person they only take the room.
    columns = list(dict.fromkeys(name for row in rows for name in row if name != "_sync"))
    shown = Table(*columns, title=f"{table}: {len(rows)} shown", title_justify="left")
    for row in rows:
        shown.add_row(*(cell(row.get(name)) for name in columns))
    out.print(shown)
