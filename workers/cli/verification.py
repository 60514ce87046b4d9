"""Commands that recalculate: `verify`, `replay`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from pipeline.declarations import Lane
from pipeline.errors import PipelineError
from pipeline.slots import Part
from pipeline.store import Batch
from pipeline.verification import (
    HANDLER,
    Finding,
    Repairer,
    Report,
    Status,
    Unknown,
    report_of,
    report_of_entity,
    verify_entity,
)
from workers.bootstrap import Application, process_name
from workers.cli.context import Exit, Json, cell, err, fail, moment, opened, out, print_json
from workers.cli.context import settings_from as settings

POLL_SECONDS: Final = 0.3
EXITS: Final = {
    Status.RIGHT: Exit.OK,
    Status.REPAIRED: Exit.OK,
    Status.WRONG: Exit.FAILED,
    Status.UNKNOWN: Exit.PARTLY,
    Status.UNFINISHED: Exit.UNFINISHED,
}


class Mode(StrEnum):
    """What is done about what is found."""

    ERRORS = "errors"
    """Report what is wrong, and nothing else."""
    CHANGES = "changes"
    """Report it field by field: what should be there, and what is."""
    UPDATE = "update"
    """Put it right."""


OfEntity = Annotated[
    str | None,
    typer.Option("--id", help="One entity and all derived from it.", metavar="TENANT:ID"),
]
Limit = Annotated[int, typer.Option(help="Most findings to show.", min=1, max=10_000)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(verify)
    app.command()(replay)


def replay(
    entity: Annotated[
        str, typer.Option("--id", help="The entity.", metavar="TENANT:ID", show_default=False)
    ],
    *,
    mode: Annotated[Mode, typer.Option(help="What is done about what is found.")] = Mode.CHANGES,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Recompute one entity and everything derived from it, in event order, in memory.

    The handlers are those of normal work. Modes: [cyan]errors[/] names what is wrong,
    [cyan]changes[/] shows it field by field and writes nothing (a dry run), [cyan]update[/] writes
    it. Effects outside are never repeated.

    Example: pipeline replay --id resort-hotel:B000002 --mode changes

    Exit status: 0 all is right or was put right, 1 something is wrong or stayed so, 3 something
    can't be told.
    """
    with opened(settings()) as app:
        _finish(_look_at(app, entity, mode, limit), mode, as_json=as_json)


def verify(  # noqa: PLR0913 - a command names all its options
    *,
    whole: Annotated[bool, typer.Option("--all", help="Everything there is.")] = False,
    part: Annotated[
        str | None, typer.Option("--hash", help="A part of all entities.", metavar="K/N")
    ] = None,
    entity: OfEntity = None,
    mode: Annotated[Mode, typer.Option(help="What is done about what is found.")] = Mode.ERRORS,
    resume: Annotated[
        str | None, typer.Option(help="Go on with one begun before.", metavar="NAME")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end, with progress.")] = True,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Verify by recalculation: hold what is stored against what its events come to.

    The whole, or a part of it by hash of id, is split into jobs on the lane [cyan]repair[/],
    which all workers do when nothing else waits; without a running worker it is done here.
    Ctrl-C ends the waiting, not the verification. Everything is looked at as of one moment, so
    what is written meanwhile is never taken for wrong.

    Examples: pipeline verify --all, pipeline verify --hash 3/16,
    pipeline verify --id resort-hotel:B000002, pipeline verify --all --mode update

    Exit status: 0 all is right or was put right, 1 something is wrong or stayed so, 3 something
    can't be told, 5 not all has been looked at yet (--no-wait, Ctrl-C).
    """
    if sum((whole, part is not None, entity is not None, resume is not None)) != 1:
        fail(
            "say what to verify: one of --all, --hash K/N, --id TENANT:ID, --resume NAME",
            Exit.USAGE,
        )
    asked_for = None if part is None else _part(part)
    with opened(settings()) as app:
        if entity is not None:
            _finish(_look_at(app, entity, mode, limit), mode, as_json=as_json)
            return
        name = resume or _begin(app, asked_for, mode)
        if wait:
            _wait_for(app, name, quiet=as_json)
        _finish(report_of(app.store, name, limit=limit), mode, as_json=as_json)


def _part(text: str) -> Part:
    try:
        return Part.parse(text)
    except PipelineError as error:
        fail(str(error), Exit.USAGE)


def _look_at(app: Application, entity: str, mode: Mode, limit: int) -> Report:
    tenant, colon, entity_id = entity.partition(":")
    if not (tenant and colon and entity_id):
        fail(f"{entity!r} names no entity; write TENANT:ID", Exit.USAGE)
    found = verify_entity(app.store, app.registry, tenant, entity_id, app.clock.now())
    if mode is not Mode.UPDATE:
        return report_of_entity(found, limit=limit)
    repairer = Repairer(app.store, app.registry, app.clock, app.settings)
    repaired = repairer.entity_and_derived(tenant, entity_id)
    app.queue.enqueue(repaired.following)
    return report_of_entity(found, repaired=repaired, limit=limit)


def _begin(app: Application, part: Part | None, mode: Mode) -> str:
    name, batches = app.verifier(process_name("cli")).begin(part, repairs=mode is Mode.UPDATE)
    app.queue.enqueue(batches)
    err.print(f"verification [bold]{cell(name)}[/] has begun", highlight=False)
    return name


def _wait_for(app: Application, name: str, *, quiet: bool) -> None:
    """Show how far it has come until it is done; do it here where nobody else does."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} units"),
        TextColumn("{task.fields[events]:,} events"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=quiet) as progress:
        task = progress.add_task("verifying", total=None, events=0)
        try:
            while (report := report_of(app.store, name, limit=1)).ended_at is None:
                done, units = report.units
                progress.update(task, completed=done, total=units, events=report.events)
                if app.heartbeats.running():
                    time.sleep(POLL_SECONDS)
                else:
                    _do_some(app, name)
        except KeyboardInterrupt:
            err.print(f"it goes on without you; to see it: pipeline verify --resume {cell(name)}")


def _do_some(app: Application, name: str) -> None:
    """Do the next unit ourselves: no worker is running."""
    units = app.store.records.verifications.units(name)
    unit = next((unit for unit in units if not unit.done), None)
    if unit is None:
        time.sleep(POLL_SECONDS)
        return
    app.verifier(process_name("cli")).run(Batch.of(HANDLER, [unit.id], Lane.REPAIR))


def _finish(report: Report, mode: Mode, *, as_json: bool) -> None:
    if as_json:
        print_json(report.as_json())
    else:
        _print(report, mode)
    if EXITS[report.status] is not Exit.OK:
        raise typer.Exit(EXITS[report.status])


def _print(report: Report, mode: Mode) -> None:
    out.print(
        f"[bold]{cell(report.scope)}[/] as of {moment(report.as_of)}: {report.events:,} events "
        f"recalculated, {report.documents:,} documents and rows looked at",
        highlight=False,
    )
    if report.ended_at is None:
        done, units = report.units
        out.print(
            f"[yellow]not done[/]: {done} of {units} units; to go on looking: "
            f"[cyan]pipeline verify --resume {cell(report.name)}[/]",
            highlight=False,
        )
    if report.waiting:
        out.print(f"{report.waiting:,} times an event still waits for a handler", highlight=False)
    for table, count in report.wrong.items():
        out.print(f"[red]✗[/] {cell(table)}: {count:,} wrong", highlight=False)
    if report.unknown:
        out.print(f"[yellow]?[/] {report.unknown:,} can't be told", highlight=False)
    if report.repaired:
        out.print(f"[green]✓[/] {report.repaired:,} put right", highlight=False)
    if report.unrepaired:
        out.print(
            f"[red]✗[/] {report.unrepaired:,} not put right: they can't be, or have changed "
            f"meanwhile; [cyan]pipeline verify[/] tells which",
            highlight=False,
        )
    if report.clean:
        out.print("[green]✓[/] all is as its events make it")
    if report.findings:
        out.print(_table(report.findings, mode))


def _table(findings: Sequence[Finding], mode: Mode) -> Table:
    names = ("table", "id", "found") if mode is Mode.ERRORS else ("table", "id", "field")
    table = Table(*names, *(() if mode is Mode.ERRORS else ("should be", "is")))
    for finding in findings:
        if isinstance(finding, Unknown):
            table.add_row(cell(finding.table), cell(finding.id), f"can't tell: {cell(finding.why)}")
        elif mode is Mode.ERRORS:
            what = f"{finding.kind.value} {finding.path}".strip()
            table.add_row(cell(finding.table), cell(finding.id), cell(what))
        else:
            table.add_row(
                cell(finding.table),
                cell(finding.id),
                cell(finding.path or finding.kind.value),
                cell(finding.expected),
                cell(finding.actual),
            )
    return table
