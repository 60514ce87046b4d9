"""Commands about events that came out of order: `late list`, `late counts`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.table import Table

from pipeline.disorder import Mark
from pipeline.lateness import Count, Finding, as_json, count_json, counts, find
from pipeline.store import Among, EventRecord
from workers.bootstrap import Application
from workers.cli.context import Json, cell, moment, opened, out, print_json, settings_from
from workers.cli.options import OfHandler, OfTenant
from workers.cli.times import in_words, moment_option

PAGE: Final = 500
MOST_SHOWN: Final = 10_000

OfMark = Annotated[Mark | None, typer.Option("--mark", help="Only what was so out of order.")]
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=moment_option,
        metavar="TIME",
        help="Applied then or later: ISO 8601, or 2h, 3d for ago.",
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(parser=moment_option, metavar="TIME", help="Applied before then."),
]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Events that came out of order. late: it happened before the newest event that its "
        "document had seen. tie: at the same moment, and no number of the source puts it after. "
        "gap: the source numbers its events, and the one before it was missing. Nothing needs to "
        "be done about them: their documents were put right when they came.",
    )
    group.command("list")(list_findings)
    group.command("counts")(count_findings)
    app.add_typer(group, name="late")


def list_findings(  # noqa: PLR0913 - each is an option of the command line
    *,
    tenant: OfTenant = None,
    handler: OfHandler = None,
    mark: OfMark = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(help="Most events shown.", min=1, max=MOST_SHOWN)] = 20,
    oldest_first: Annotated[
        bool, typer.Option("--oldest-first", help="Those applied first before others.")
    ] = False,
    as_json_: Json = False,
) -> None:
    """List events that came out of order, each with the event it was held against.

    The newest are first; all filters that are given hold.

    Example: pipeline late list --tenant acme --mark late --since 3d
    """
    among = Among(tenant, handler, mark, since, until)
    with opened(settings_from()) as app:
        found = list(_findings(app, among, limit, newest_first=not oldest_first))
    if as_json_:
        print_json([as_json(finding) for finding in found])
    elif found:
        _print_list(found)
    else:
        out.print("[green]✓[/] nothing came out of order", highlight=False)


def count_findings(
    *,
    tenant: OfTenant = None,
    handler: OfHandler = None,
    mark: OfMark = None,
    since: Since = None,
    until: Until = None,
    as_json_: Json = False,
) -> None:
    """Count events that came out of order, by tenant and handler, and how late they were.

    Copies are turned away before any handler, and counted for the tenant alone;
    a filter by anything else leaves them out.

    Example: pipeline late counts --since 1d
    """
    with opened(settings_from()) as app:
        found = counts(app.store, Among(tenant, handler, mark, since, until))
    if as_json_:
        print_json([count_json(count) for count in found])
    elif found:
        _print_counts(found)
    else:
        out.print("[green]✓[/] nothing came out of order or twice", highlight=False)


def _findings(
    app: Application, among: Among, limit: int, *, newest_first: bool
) -> Iterator[Finding]:
    """Up to so many findings, read page by page."""
    after = None
    while limit > 0:
        size = min(PAGE, limit)
        page = find(app.store, among, limit=size, after=after, newest_first=newest_first)
        yield from page.findings
        if page.after is None:
            return
        after = page.after
        limit -= size


def _print_list(found: Sequence[Finding]) -> None:
    table = Table(
        "applied",
        "mark",
        "event",
        "of",
        "came after",
        "by",
        "healed",
        title=f"{len(found):,} out of order",
        title_justify="left",
    )
    for finding in found:
        row, disorder = finding.row, finding.disorder
        table.add_row(
            moment(row.write_at),
            disorder.mark.value,
            _event(row.event, finding.event),
            f"{cell(row.handler)}\n{cell(row.key)}",
            "nothing" if disorder.seen is None else _event(disorder.seen, finding.seen),
            "-" if disorder.late_ms is None else in_words(disorder.late_ms),
            _healed(disorder.refolded),
        )
    out.print(table)


def _event(key: str, record: EventRecord | None) -> str:
    """An event by key, type, time and number."""
    if record is None:
        return f"{cell(key)}\nis not stored any more"
    event = record.event
    number = "" if event.seq is None else f", number {event.seq}"
    return f"{cell(key)}\n{cell(event.type)}{number}\n{moment(event.occurred_at)}"


def _healed(rows: int) -> str:
    return "-" if not rows else f"{rows:,} row{'' if rows == 1 else 's'}"


def _print_counts(found: Sequence[Count]) -> None:
    columns = ("tenant", "handler", "late", "tie", "gap", "duplicates", "conflicts")
    lateness = ("half within", "99 % within", "at most")
    table = Table(*columns, *lateness, title="Out of order", title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for count in found:
        numbers = (count.late, count.tie, count.gap, count.duplicates, count.conflicts)
        table.add_row(
            cell(count.tenant),
            cell(count.handler),
            *(f"{number:,}" for number in numbers),
            *(("-",) * 3 if count.lateness is None else map(in_words, count.lateness)),
        )
    out.print(table)
