"""Commands that look: `status`, `query`, `history`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.querying import as_of, history, query
from pipeline.store import LedgerState
from pipeline.temporal import Row
from workers.cli.context import Json, cell, moment, opened, out, print_json, settings_from
from workers.cli.times import moment_option
from workers.monitor import Snapshot, snapshot


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command("query")(query_table)
    app.command("history")(show_history)


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
        stored.add_row(cell(name), f"{count:,}")
    out.print(stored)
    waiting = Table("handler", "batches", "events", title="Waiting", title_justify="left")
    for handler, (batches, events) in sorted(now.backlog.items()):
        waiting.add_row(cell(handler), f"{batches:,}", f"{events:,}")
    out.print(waiting if now.backlog else "[green]✓[/] nothing is waiting")
    running = ", ".join(f"{name} ({_doing(jobs)})" for name, jobs in sorted(now.workers.items()))
    out.print(f"workers: {cell(running) or '[yellow]none are running[/]'}", highlight=False)
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
    past: Annotated[
        datetime | None,
        typer.Option(
            "--as-of",
            parser=moment_option,
            metavar="TIME",
            help="As they stood then, by the times of the events: ISO 8601, or 2h, 3d for ago. "
            "Only tables of folds have a past.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Most documents.", min=1, max=10_000)] = 20,
    as_json: Json = False,
) -> None:
    """Look into a table, by key, tenant and field values; as it is, or as it was.

    Example: pipeline query rs_appointments status=canceled --tenant resort-hotel

    Example: pipeline query rs_appointments --key city-hotel:B119390 --as-of 2017-07-01
    """
    wanted = tuple(conditions or ())
    with opened(settings_from()) as app:
        looked = app.store, app.registry, table
        if past is None:
            rows = query(*looked, key=key, tenant=tenant, conditions=wanted, limit=limit)
        else:
            rows = as_of(*looked, past, key=key, tenant=tenant, conditions=wanted, limit=limit)
    if as_json:
        print_json(rows)
        return
    # Stamps are for programs; to a person they only take the room.
    columns = list(dict.fromkeys(name for row in rows for name in row if name != "_sync"))
    when = "" if past is None else f" as of {moment(past)}"
    title = f"{cell(table)}{when}: {len(rows)} shown"
    shown = Table(*map(cell, columns), title=title, title_justify="left")
    for row in rows:
        shown.add_row(*(cell(row.get(name)) for name in columns))
    out.print(shown)


def show_history(
    table: Annotated[str, typer.Argument(help="A table that a fold writes.")],
    key: Annotated[str, typer.Argument(help="The document's id, such as acme:T1.")],
    *,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment_option,
            metavar="TIME",
            help="Only events of then or later: ISO 8601, or 2h, 3d for ago.",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=moment_option, metavar="TIME", help="Only events before then."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Most events, the first.", min=1, max=10_000)] = 100,
    as_json: Json = False,
) -> None:
    """Show what happened to one document: what changed, from when to when, by which event.

    Events stand in the order of their times, wherever in line they came.

    Example: pipeline history rs_appointments resort-hotel:B000002
    """
    with opened(settings_from()) as app:
        rows = history(app.store, app.registry, table, key, since=since, until=until, limit=limit)
    if as_json:
        print_json([_row_json(row) for row in rows])
        return
    shown = Table("from", "to", "event", "changed", title=cell(f"{table}[{key}]"))
    shown.title_justify = "left"
    for row in rows:
        end = "now" if row.valid_to is None else moment(row.valid_to)
        changed = "\n".join(_move(row, *move) for move in row.moves.items())
        shown.add_row(moment(row.valid_from), end, cell(row.event), changed or "[dim]nothing[/]")
    out.print(shown)
    if len(rows) == limit:
        last = rows[-1].valid_from.isoformat()
        out.print(f"[dim]the first {limit:,}; for more: --since {last}[/]", highlight=False)


def _move(row: Row, name: str, values: tuple[Any, Any]) -> str:
    old, new = values
    came = "" if row.changed is None else f"{cell(old)} → "
    return f"{cell(name)} {came}{cell(new)}"


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "event": row.event,
        "order": row.order,
        "valid_from": row.valid_from,
        "valid_to": row.valid_to,
        "created": row.changed is None,
        "changed": {name: {"old": old, "new": new} for name, (old, new) in row.moves.items()},
    }
