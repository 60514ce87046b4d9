"""`pipeline console`: the console by itself, and the users who may log in.

It is installed with the extra `dashboards`, and the command line works without.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from workers import logs
from workers.bootstrap import process_name
from workers.cli.context import Exit, explained, fail, out, settings_from

# What serves pages is imported by the commands: others need neither it nor the time it takes.


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        invoke_without_command=True,
        help="The operator console in a browser: search, timelines, dead letters, operations. "
        "pipeline up starts it too.",
    )
    group.callback()(console)
    group.command()(user)
    app.add_typer(group, name="console")


def console(
    context: typer.Context,
    *,
    host: Annotated[str | None, typer.Option(help="Address to serve on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 for any.", min=0, max=65535)] = None,
    read_only: Annotated[
        bool | None, typer.Option("--read-only", help="Refuse everything that changes something.")
    ] = None,
) -> None:
    """Serve the console in this terminal until Ctrl-C.

    Without users or a proxy it is the owner's: log in with the token that it
    prints the place of. The settings PIPELINE_CONSOLE_USERS,
    PIPELINE_CONSOLE_TOKEN, PIPELINE_CONSOLE_PROXY_SECRET and
    PIPELINE_CONSOLE_BADGE say more.
    """
    if context.invoked_subcommand is not None:
        return
    with _installed():
        from dashboards.serving import serve  # noqa: PLC0415
    settings = settings_from(dashboard_host=host, dashboard_port=port, console_read_only=read_only)
    logs.configure(settings.log_level, process=process_name("console"))
    with explained():
        serve(settings)


def user(
    name: Annotated[str, typer.Argument(help="Name to log in with.")],
    *,
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")] = "viewer",
    file: Annotated[
        Path | None, typer.Option(help="The file of users; else PIPELINE_CONSOLE_USERS.")
    ] = None,
) -> None:
    """Add a user, or change role and password of one; it counts at once.

    Example: pipeline console user ann --role operator --file users.json
    """
    with _installed():
        from dashboards.access import Role  # noqa: PLC0415
        from dashboards.access.users import put  # noqa: PLC0415
    path = file or settings_from().console_users
    if path is None:
        fail("say which file: --file, or PIPELINE_CONSOLE_USERS", Exit.USAGE)
    known = Role.of(role)
    if known is None:
        fail(f"{role!r} is no role; viewer, operator and admin are", Exit.USAGE)
    password = typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True)
    with explained():
        put(path, name, known, password)
    out.print(f"[green]✓[/] {name} is {known.word} in {path}", highlight=False)


@contextmanager
def _installed() -> Iterator[None]:
    """Say what to install where something is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        fail(f"{error.name} is missing; install event-pipeline[dashboards]", Exit.USAGE)
