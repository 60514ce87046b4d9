"""Commands about effects: `effects outdated`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from rich.table import Table

from pipeline.event import event_id_of, tenant_of
from pipeline.store import LedgerRow
from workers.cli.context import Json, cell, moment, opened, out, print_json, settings_from

MOST_SHOWN: Final = 10_000


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Effects: what handlers do outside, such as mails. They are done once and never "
        "repeated, whatever comes late or is undone.",
    )
    group.callback()(_group)
    group.command()(outdated)
    app.add_typer(group, name="effects")


def _group() -> None:
    """Effects: what handlers do outside."""


def outdated(
    *,
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    handler: Annotated[str | None, typer.Option(help="Only this effect.")] = None,
    limit: Annotated[int, typer.Option(help="Most effects shown.", min=1, max=MOST_SHOWN)] = 20,
    as_json: Json = False,
) -> None:
    """List effects that are done and would be different now, the longest known first.

    A late event, or an undo, has changed what they had seen. They are not
    repeated; whether somebody has to be told is for a person to say.

    Example: pipeline effects outdated --tenant acme
    """
    with opened(settings_from()) as app:
        rows = app.store.records.ledger.outdated(tenant=tenant, handler=handler, limit=limit)
    if as_json:
        print_json([_as_json(row) for row in rows])
    elif rows:
        _print(rows, limit)
    else:
        out.print("[green]✓[/] no effect would be different now", highlight=False)


def _print(rows: list[LedgerRow], limit: int) -> None:
    table = Table("since", "effect", "event", "state", "done at", "changed by")
    for row in rows:
        if row.outdated is not None:
            table.add_row(
                moment(row.outdated.at),
                cell(row.handler),
                cell(row.event),
                row.state.value,
                moment(row.write_at),
                cell(row.outdated.by),
            )
    out.print(table)
    if len(rows) == limit:
        out.print(f"the first {limit:,}; --limit shows more", highlight=False)
    out.print("Next: [cyan]pipeline trace EVENT[/] shows what it is now", highlight=False)


def _as_json(row: LedgerRow) -> dict[str, Any]:
    note = row.outdated
    return {
        "event": row.event,
        "event_id": event_id_of(row.event),
        "tenant": tenant_of(row.event),
        "handler": row.handler,
        "state": row.state.value,
        "done_at": row.write_at,
        "outdated_at": note.at if note else None,
        "outdated_by": note.by if note else None,
    }
