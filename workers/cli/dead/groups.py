"""Commands about groups of dead letters: `dead groups`, `dead acknowledge`, `ignore`, `reopen`."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Final

import typer
from rich.table import Table

from pipeline.auditing import Auditor, Outcome, Person
from pipeline.dead_letters import (
    NOTE_CHARACTERS,
    Group,
    Said,
    Standing,
    Stood,
    Triage,
    Where,
    counted,
    group_json,
)
from pipeline.errors import NotFound, PipelineError
from workers.bootstrap import Application
from workers.cli.context import Json, cell, moment, opened, out, print_json, settings_from
from workers.cli.dead.showing import printable

SIGNS: Final = {
    Standing.NEW: "[red]✗ new[/]",
    Standing.REGRESSED: "[red]↺ regressed[/]",
    Standing.AGAIN: "[red]↻ happened again[/]",
    Standing.ACKNOWLEDGED: "[yellow]◐ acknowledged[/]",
    Standing.IGNORED: "[dim]⊘ ignored[/]",
}

GroupId = Annotated[
    str,
    typer.Argument(
        help="As pipeline dead groups shows it, or its first four characters or more.",
        metavar="GROUP",
    ),
]
Note = Annotated[
    str, typer.Option("--note", help=f"Why, or who looks; up to {NOTE_CHARACTERS} characters.")
]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("groups")(list_groups)
    group.command()(acknowledge)
    group.command()(ignore)
    group.command()(reopen)


def list_groups(
    *,
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    handler: Annotated[str | None, typer.Option(help="Only what this handler gave up on.")] = None,
    error: Annotated[str | None, typer.Option(help="Only this type of error.")] = None,
    still_open: Annotated[
        bool, typer.Option("--open", help="Only those that somebody has to look at.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Count dead letters by cause: handler, type of error, and what its messages have in common.

    The newest groups first, 500 at the most. A group that was acknowledged,
    whose letters were all requeued or discarded, and in which others have died
    since, has regressed.

    Example: pipeline dead groups --open
    """
    with opened(settings_from()) as app:
        found = counted(app.store).groups(Where(tenant, handler, error))
    shown = [one for one in found if one.open or not still_open]
    if as_json:
        print_json([group_json(one) for one in shown])
    elif shown:
        _print(shown)
    else:
        out.print("[green]✓[/] no groups of dead letters match", highlight=False)


def acknowledge(group: GroupId, *, note: Note = "", as_json: Json = False) -> None:
    """Say that somebody looks at a group of dead letters; it changes none of them.

    Example: pipeline dead acknowledge 3f2a9c --note "ann: the vendor is asked"
    """
    _say(group, Said.ACKNOWLEDGED, note, as_json=as_json)


def ignore(
    group: GroupId,
    *,
    forever: Annotated[
        bool, typer.Option("--forever", help="However many die; else until one more dies.")
    ] = False,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Say that nobody needs to look at a group, until one more dies; it changes none of them.

    Example: pipeline dead ignore 3f2a9c --note "an outage of the vendor, over"
    """
    said = Said.IGNORED if forever else Said.IGNORED_UNTIL_AGAIN
    _say(group, said, note, as_json=as_json)


def reopen(group: GroupId, *, as_json: Json = False) -> None:
    """Take back that a group is acknowledged or ignored.

    Example: pipeline dead reopen 3f2a9c
    """
    with opened(settings_from()) as app:
        found = _found(app, group)
        with _noting(app, "reopen", found) as outcome:
            reopened = Triage(app.store, app.clock, app.counts).reopen(_where(found), by=_me())
            outcome.tell("reopened" if reopened else "nothing was said about it")
    if as_json:
        print_json({"group": found.id, "reopened": reopened})
    elif reopened:
        out.print(f"[green]✓[/] {found.id} is new again", highlight=False)
    else:
        out.print(f"[green]✓[/] nothing was said about {found.id}; nothing was changed")


def _say(group: str, said: Said, note: str, *, as_json: bool) -> None:
    with opened(settings_from()) as app:
        found = _found(app, group)
        action = "acknowledge" if said is Said.ACKNOWLEDGED else "ignore"
        with _noting(app, action, found, note) as outcome:
            triage = Triage(app.store, app.clock, app.counts)
            stance = triage.say(_where(found), said, by=_me(), note=note)
            outcome.tell(said.words)
    if as_json:
        print_json({"group": stance.id, "said": stance.said.value, "note": stance.note})
    else:
        out.print(
            f"[green]✓[/] {cell(found.handler)} · {cell(found.error or '')} is "
            f"{said.words}; "
            f"take it back with [cyan]pipeline dead reopen {found.id}[/]",
            highlight=False,
            soft_wrap=True,
        )


def _found(app: Application, start: str) -> Group:
    """The group whose id begins so.

    Raises:
        NotFound: there is none.
        PipelineError: there are several.
    """
    found = [
        one.group
        for one in counted(app.store).groups(Where())
        if one.group.id.startswith(start.lower())
    ]
    if not found:
        raise NotFound(f"no group {start!r}; pipeline dead groups shows those that there are")
    if len(found) > 1:
        raise PipelineError(f"{start!r} may be {', '.join(group.id for group in found[:5])}")
    return found[0]


def _where(group: Group) -> Where:
    return Where(handler=group.handler, error=group.error, signature=group.signature or "")


def _noting(
    app: Application, action: str, group: Group, note: str = ""
) -> AbstractContextManager[Outcome]:
    about = {"handler": group.handler, "error": group.error, "signature": group.signature}
    person = Person(_me(), "command line")
    return Auditor(app.store, app.clock).noting(person, action, about, reason=note)


def _me() -> str:
    return getpass.getuser()


def _print(shown: Sequence[Stood]) -> None:
    table = Table("group", "handler", "error", "letters", "first died", "last died", "stands")
    table.columns[3].justify = "right"
    for one in shown:
        group, stance = one.group, one.stance
        said = f"{group.error}: {group.signature}" if group.signature else f"{group.error}"
        by = ": ".join(filter(None, (stance.by, stance.note))) if stance else ""
        table.add_row(
            group.id,
            cell(group.handler),
            cell(printable(said)),
            f"{group.events:,}",
            moment(group.oldest),
            moment(group.newest),
            f"{SIGNS[one.standing]} {cell(printable(by))}",
        )
    out.print(table)
    out.print(
        "Next: [cyan]pipeline dead acknowledge GROUP[/], [cyan]ignore[/] or [cyan]reopen[/]; "
        "[cyan]pipeline dead list --handler … --signature …[/], then [cyan]requeue[/] or "
        "[cyan]discard[/] alike",
        highlight=False,
    )
