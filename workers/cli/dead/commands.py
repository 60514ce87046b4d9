"""Commands about dead letters: `dead list`, `show`, `requeue`, `discard`, and those of groups."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final

import typer

from pipeline.dead_letters import REASON_CHARACTERS, Inputs, Letter, Where, find, inputs, tally
from pipeline.dead_letters import as_json as letter_json
from pipeline.errors import NotFound, UnknownHandler
from workers.bootstrap import Application
from workers.cli.context import Json, cell, opened, out, print_json, settings_from
from workers.cli.dead import groups
from workers.cli.dead.asking import Asked, decide, hint, of_events
from workers.cli.dead.showing import print_letter, print_list
from workers.cli.times import moment_option

PAGE: Final = 500
MOST_SHOWN: Final = 10_000


def _reason(text: str) -> str:
    if not 0 < len(text.strip()) <= len(text) <= REASON_CHARACTERS:
        raise typer.BadParameter(f"takes 1 to {REASON_CHARACTERS:,} characters")
    return text


Events = Annotated[
    list[str] | None,
    typer.Argument(help="Ids of events, or event_id@tenant/source.", metavar="EVENT_ID…"),
]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="Only events of this tenant.")]
OfHandler = Annotated[
    str | None, typer.Option("--handler", help="Only what this handler gave up on.")
]
OfError = Annotated[
    str | None,
    typer.Option("--error", help="Only this type of error, such as ValueError or WorkerDied."),
]
OfSignature = Annotated[
    str | None,
    typer.Option(
        "--signature", help="Only these messages, as pipeline dead groups shows them: 'no order #'."
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=moment_option,
        metavar="TIME",
        help="Died then or later: ISO 8601, or 2h, 3d for ago.",
    ),
]
Until = Annotated[
    datetime | None, typer.Option(parser=moment_option, metavar="TIME", help="Died before then.")
]
Everything = Annotated[bool, typer.Option("--all", help="All dead letters, without a filter.")]
Most = Annotated[
    int | None,
    typer.Option("--limit", help="At most so many, those that died first.", min=1),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")
]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Dead letters: events that a handler has given up on after all its attempts. "
        "Look at the cause (groups, list, show), mend what is wrong (the handler, the data, the "
        "system behind it), then requeue; or discard what needs no effect. The same events are in "
        "RQ's failed registry: requeueing them there, with rq-dashboard or rq requeue, gives them "
        "a single attempt; deleting them there hides them for a minute.",
    )
    group.command("list")(list_letters)
    group.command()(show)
    group.command()(requeue)
    group.command()(discard)
    groups.register(group)
    app.add_typer(group, name="dead")


def list_letters(  # noqa: PLR0913 - each is an option of the command line
    *,
    tenant: OfTenant = None,
    handler: OfHandler = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    signature: OfSignature = None,
    limit: Annotated[int, typer.Option(help="Most letters shown.", min=1, max=MOST_SHOWN)] = 20,
    oldest_first: Annotated[
        bool, typer.Option("--oldest-first", help="Those that died first before others.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List dead letters, the newest first; all filters that are given hold.

    Example: pipeline dead list --tenant acme --error ValueError --since 3d
    """
    where = Where(tenant, handler, error, since, until, signature=signature)
    with opened(settings_from()) as app:
        letters = list(_letters(app, where, limit, newest_first=not oldest_first))
        if as_json:
            print_json([letter_json(letter) for letter in letters])
        elif letters:
            print_list(letters, tally(app.store, where))
        else:
            out.print(f"[green]✓[/] no dead letters{cell(hint(app, where))}", highlight=False)


def show(
    event_id: Annotated[str, typer.Argument(help="The source's id, or event_id@tenant/source.")],
    handler: OfHandler = None,
    as_json: Json = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show a dead letter whole: cause, traceback, attempts, and what its handler was given.

    The state is the one that a requeue would apply the event to now.
    """
    with opened(settings_from()) as app:
        found = [
            (letter, _inputs(app, letter))
            for where in of_events(app, [event_id], Where(handler=handler))
            for letter in _letters(app, where, PAGE)
        ]
        if not found:
            raise NotFound(
                f"no handler has given up on {event_id!r}; pipeline trace shows what became of it"
            )
        if as_json:
            print_json([letter_json(*one) for one in found])
            return
        for letter, given in found:
            print_letter(letter, given)


def requeue(  # noqa: PLR0913 - as above
    events: Events = None,
    *,
    tenant: OfTenant = None,
    handler: OfHandler = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    signature: OfSignature = None,
    limit: Most = None,
    everything: Everything = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put dead letters back to work, with all attempts of their handler before them again.

    Name events, or say by filters which; filters ask before they do
    anything. What is requeued twice has its effect once.

    Example: pipeline dead requeue order-17

    Example: pipeline dead requeue --handler appointments.apply --since 2h
    """
    where = Where(tenant, handler, error, since, until, signature=signature)
    asked = Asked(
        "requeue", events or [], where, limit, everything, yes=yes, dry_run=dry_run, json=as_json
    )
    decide(
        asked,
        lambda decisions, where, most, told: decisions.requeue_all(
            where, limit=most, on_progress=told
        ),
    )


def discard(  # noqa: PLR0913 - as above
    events: Events = None,
    *,
    reason: Annotated[
        str, typer.Option(help="Why, in one sentence; kept with the event.", callback=_reason)
    ],
    tenant: OfTenant = None,
    handler: OfHandler = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    signature: OfSignature = None,
    limit: Most = None,
    everything: Everything = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Give dead letters up for good: their handler never has an effect for these events.

    Neither have the observers that follow it. The event itself stays stored,
    and pipeline trace tells the reason. Name events, or say by filters which;
    filters ask first.

    Example: pipeline dead discard order-17 --reason "a test order of our own"
    """
    where = Where(tenant, handler, error, since, until, signature=signature)
    asked = Asked(
        "discard", events or [], where, limit, everything, yes=yes, dry_run=dry_run, json=as_json
    )
    decide(
        asked,
        lambda decisions, where, most, told: decisions.discard_all(
            where, reason, limit=most, on_progress=told
        ),
    )


def _letters(
    app: Application, where: Where, limit: int, *, newest_first: bool = True
) -> Iterator[Letter]:
    """Up to so many letters, read page by page."""
    after = None
    while limit > 0:
        size = min(PAGE, limit)
        page = find(app.store, where, limit=size, after=after, newest_first=newest_first)
        yield from page.letters
        if page.after is None:
            return
        after = page.after
        limit -= size


def _inputs(app: Application, letter: Letter) -> Inputs | None:
    try:
        return inputs(app.store, app.registry, letter)
    except UnknownHandler:
        # Letters outlive the modules that declared their handlers.
        return None
