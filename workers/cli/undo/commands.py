"""Commands about taking events back: `undo`, `redo`."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from pipeline.undo import REASON_CHARACTERS, Redone, Undoing, Undone, as_json, key_of
from workers.bootstrap import Application
from workers.cli.context import Exit, Json, cell, err, opened, out, print_json, settings_from
from workers.cli.undo.showing import print_undone

EventId = Annotated[
    str,
    typer.Argument(help="The source's id, or event_id@tenant/source.", metavar="EVENT_ID"),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(undo)
    app.command()(redo)


def _reason(text: str) -> str:
    if len(text) > REASON_CHARACTERS:
        raise typer.BadParameter(f"takes up to {REASON_CHARACTERS:,} characters")
    return text


def undo(
    event_id: EventId,
    *,
    reason: Annotated[
        str, typer.Option(help="Why, in one sentence; kept with the event.", callback=_reason)
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Take one event back: everything it touched is recomputed as if it had never come.

    Shows first what would change, down to the fields, and which effects are out
    and can't be taken back; then asks. Later events that need this one fail
    without it and are tried again. The event stays stored, a copy of it changes
    nothing, and pipeline redo brings it back. What is out stays out.

    Example: pipeline undo order-17 --dry-run

    Example: pipeline undo order-17 --reason "sent twice under two ids"
    """
    with opened(settings_from()) as app:
        undoing, key = _undoing(app), key_of(app.store, event_id)
        if dry_run or not yes:
            tried = undoing.rehearse(key)
            if dry_run or not json or not tried.done:
                _show(tried, tried=True, json=json)
            if dry_run or not tried.done:
                return
            _ask()
        undone = undoing.undo(key, by=getpass.getuser(), reason=reason)
        _show(undone, tried=False, json=json)


def redo(event_id: EventId, *, json: Json = False) -> None:
    """Bring an event back that was undone: it comes as a late event does.

    Its handlers run again, on a worker; effects that were done before are not
    repeated. Events that failed or were cancelled without it are tried again with it.

    Example: pipeline redo order-17
    """
    with opened(settings_from()) as app:
        redone = _undoing(app).redo(key_of(app.store, event_id))
    if json:
        print_json(_redone_json(redone))
        return
    key = cell(redone.record.event.key)
    if not redone.done:
        out.print(f"[green]✓[/] {key} is not undone; nothing was changed", highlight=False)
        return
    out.print(
        f"[green]✓[/] {key} comes again, through "
        f"{cell(', '.join(redone.handlers)) or 'no handler'}",
        highlight=False,
    )
    if redone.requeued:
        out.print(f"{redone.requeued:,} that fell with it are tried again", highlight=False)


def _undoing(app: Application) -> Undoing:
    return Undoing(app.store, app.registry, app.queue, app.clock, app.settings, app.counts)


def _ask() -> None:
    if not typer.confirm("undo it?", err=True):
        err.print("nothing was changed")
        raise typer.Exit(Exit.FAILED)


def _show(found: Undone, *, tried: bool, json: bool) -> None:
    if json:
        print_json({**as_json(found), "dry_run": tried})
    else:
        print_undone(found, tried=tried)


def _redone_json(redone: Redone) -> dict[str, object]:
    return {
        "event": redone.record.event.key,
        "redone": redone.done,
        "handlers": redone.handlers,
        "requeued": redone.requeued,
    }
