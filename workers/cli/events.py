"""Commands about events: `ingest`, `trace`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.tree import Tree

from pipeline.disorder import Disorder, Mark
from pipeline.store import LedgerRow, LedgerState
from pipeline.tracing import Step, Trace, as_json, milliseconds, trace
from workers.cli.bars import counting
from workers.cli.context import (
    Exit,
    Json,
    cell,
    err,
    moment,
    opened,
    out,
    print_json,
    settings_from,
)
from workers.cli.times import in_words
from workers.ingest import BadLine, Ingested, ingest

SHOWN_BAD_LINES = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("ingest")(ingest_file)
    app.command("trace")(trace_event)


def ingest_file(
    file: Annotated[
        Path, typer.Argument(help="NDJSON, one event a line; .gz too; - for standard input.")
    ],
    as_json: Json = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Make the events of a file durable and start their chains.

    A bad line is reported with its number and the reason, and the rest goes on; the exit
    status is then 3. Sending a file twice is harmless.
    """
    settings = settings_from()
    if str(file) != "-" and not file.is_file():
        err.print(f"[bold red]✗[/] {cell(file)}: no such file")
        raise typer.Exit(Exit.USAGE)
    bad: list[BadLine] = []

    def report(line: BadLine) -> None:
        bad.append(line)
        if len(bad) <= SHOWN_BAD_LINES and not as_json:
            err.print(f"[red]line {line.number}[/]: {cell(line.reason)}", highlight=False)

    with opened(settings) as app, counting(quiet=as_json) as progress:
        task = progress.add_task("ingest", total=None)
        source = sys.stdin.buffer if str(file) == "-" else file
        total = ingest(
            app.dispatcher,
            app.clock,
            settings,
            source,
            on_bad_line=report,
            on_progress=lambda done, share: progress.update(
                task, completed=done, total=round(done / share) if share else None
            ),
        )
    if as_json:
        print_json(_summary(total, bad))
    else:
        _print_summary(total, bad)
    if bad or total.conflicts:
        raise typer.Exit(Exit.PARTLY)


def _summary(total: Ingested, bad: list[BadLine]) -> dict[str, Any]:
    return {
        "lines": total.lines,
        "accepted": total.accepted,
        "duplicates": total.duplicates,
        "conflicts": total.conflicts,
        "conflict_keys": total.conflict_keys,
        "unhandled": total.unhandled,
        "seconds": round(total.seconds, 3),
        "bad": [{"line": line.number, "reason": line.reason} for line in bad],
    }


def _print_summary(total: Ingested, bad: list[BadLine]) -> None:
    rate = total.lines / total.seconds if total.seconds else 0.0
    out.print(
        f"[bold]{total.accepted:,}[/] events accepted, {total.duplicates:,} duplicates, "
        f"{total.lines:,} lines in {total.seconds:.1f} s ({rate:,.0f}/s)",
        highlight=False,
    )
    if total.conflicts:
        err.print(
            f"[red]{total.conflicts:,} events came under an id that is taken, with another "
            f"content; the first one stays[/]: {cell(', '.join(total.conflict_keys[:5]))}",
            highlight=False,
        )
    if total.unhandled:
        kinds = ", ".join(f"{kind} ({count:,})" for kind, count in total.unhandled.items())
        err.print(f"[yellow]stored, but no handler asks for[/]: {cell(kinds)}", highlight=False)
    if bad:
        err.print(f"[red]{len(bad):,} lines refused[/]", highlight=False)


def trace_event(
    event_id: Annotated[str, typer.Argument(help="The source's id, or event_id@tenant/source.")],
    as_json_: Json = False,  # noqa: FBT002 - as above
) -> None:
    """Show what became of one event: every handler, attempt, timing and write, as a tree."""
    with opened(settings_from()) as app:
        found = trace(app.store, app.registry, event_id)
        if as_json_:
            print_json([as_json(one) for one in found])
            return
        for one in found:
            out.print(_tree(one))


_SIGNS = {
    "done": "[green]✓ done[/]",
    "skipped": "[green]✓ nothing to do[/]",
    "cancelled": "[yellow]✗ given up[/]",
    "snoozed": "[yellow]… looked at later[/]",
    "held": "[yellow]… waits for the number before it[/]",
    "retrying": "[yellow]↻ retrying[/]",
    "dead": "[red]✗ dead letter[/]",
    "waiting": "[cyan]… waiting[/]",
    "voided": "[yellow]✗ undone[/]",
    "sending": "[yellow]… being done, or interrupted[/]",
}


def _tree(found: Trace) -> Tree:
    record, event = found.record, found.record.event
    tree = Tree(f"[bold]{cell(event.key)}[/]  {cell(event.type)}", highlight=False)
    about = [f"entity {cell(event.entity_id)}", f"happened {moment(event.occurred_at)}"]
    if event.seq is not None:
        about.append(f"sequence {event.seq}")
    about.append(f"received {moment(record.received_at)}")
    if record.copies:
        about.append(f"sent {record.copies + 1} times")
    if record.conflicts:
        about.append(f"[red]{record.conflicts} times with another content[/]")
    tree.add("  ".join(about))
    if record.voided is not None:
        reason = f": {cell(record.voided.reason)}" if record.voided.reason else ""
        when, by = moment(record.voided.at), cell(record.voided.by)
        tree.add(f"[bold yellow]undone[/] {when} by {by}{reason}")
    for step in found.steps:
        _branch(tree, step)
    if not found.steps:
        tree.add("[yellow]no handler asks for this type of event[/]")
    return tree


def _coming(row: LedgerRow) -> str:
    """How the event came, where that was not in order."""
    told = "" if row.disorder is None else f"  [yellow]{_disorder(row.disorder)}[/]"
    if row.held is not None and row.held.ms is not None:
        told += f"  [yellow]held back for {in_words(row.held.ms)}[/]"
    return told


def _disorder(found: Disorder) -> str:
    match found.mark:
        case Mark.LATE:
            return f"late by {in_words(found.late_ms or 0)} of event time"
        case Mark.TIE:
            return "at the same moment as the newest event"
        case Mark.GAP:
            return "the number before it was missing"


def _branch(tree: Tree, step: Step) -> None:
    line = f"[bold]{cell(step.handler)}[/]  {_SIGNS[step.state]}"
    row, run = step.row, step.run
    if row is None:
        branch = tree.add(line)
    else:
        line += f"  attempt {row.attempt}  {row.lag_ms:,} ms after receipt"
        if run is not None:
            line += f"  read and folded in {milliseconds(run.read_at, row.write_at)} ms"
        branch = tree.add(line + _coming(row))
        if row.key is not None:
            branch.add(cell(f"{step.table}[{row.key}]"))
        for written in row.wrote.describe():
            branch.add(f"  {cell(written)}")
        if run is not None:
            branch.add(f"[dim]worker {cell(run.worker)}  job {cell(row.job)}[/]")
        if row.outdated is not None:
            by, since = cell(row.outdated.by), moment(row.outdated.at)
            branch.add(f"[yellow]would be different now[/], since {by} ({since})")
        if row.error is not None and row.state is not LedgerState.VOIDED:
            error = row.error
            said = cell(f"{error['type']}: {error['message']}")
            branch.add(f"[red]{said}[/] (in {cell(error['stage'])})")
    for child in step.steps:
        _branch(branch, child)
