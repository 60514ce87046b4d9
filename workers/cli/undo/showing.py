"""How an undo looks to a person: documents before and after, and what is out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.table import Table

from pipeline.store import LedgerRow
from pipeline.undo import DocumentChange, Undone
from workers.cli.context import cell, moment, out

SHOWN: Final = 50
"""Lines of each kind; --json has all of them."""


def print_undone(found: Undone, *, tried: bool) -> None:
    """What was done, or would be.

    Args:
        found: what it comes to.
        tried: whether it was a dry run: then all that would change is shown.
    """
    key = cell(found.record.event.key)
    if not found.done:
        note = found.record.voided
        when = f" at {moment(note.at)} by {cell(note.by)}" if note else ""
        out.print(
            f"[green]✓[/] {key} is undone already{when}; nothing was changed\n"
            f"[cyan]pipeline redo {key}[/] brings it back",
            highlight=False,
        )
        return
    if tried:
        _print_documents(found.documents)
        _print_fallen(found)
        _print_effects(found.out, "can't be taken back: done outside, or maybe")
        _print_effects(found.outdated, "of other events, done, and would be different now")
        out.print(f"{key}: {_counts(found)}; nothing was changed yet", highlight=False)
        return
    out.print(f"[green]✓[/] {key} is undone: {_counts(found)}", highlight=False)
    if found.out:
        out.print(
            f"[yellow]{len(found.out):,} of its effects stay done[/]: "
            f"{cell(', '.join(row.handler for row in found.out))}",
            highlight=False,
        )
    if found.fallen:
        out.print(f"[yellow]{len(found.fallen):,} events fail without it[/]", highlight=False)


def _counts(found: Undone) -> str:
    removed = sum(change.removed for change in found.rows)
    rewritten = sum(change.rewritten for change in found.rows)
    return (
        f"{len(found.documents):,} documents change, {removed:,} temporal rows go, "
        f"{rewritten:,} are rewritten, {len(found.contributions):,} contributions corrected"
    )


def _print_documents(documents: Sequence[DocumentChange]) -> None:
    table = Table("document", "field", "before", "after")
    for change in documents[:SHOWN]:
        name = cell(f"{change.table} {change.id}")
        if change.after is None or change.before is None:
            table.add_row(name, "", "", "[red]removed[/]" if change.before else "[green]new[/]")
            name = ""
        for field, before, after in change.fields():
            table.add_row(name, cell(field), cell(before), cell(after))
            name = ""
    if documents:
        out.print(table)
    _print_rest(len(documents))


def _print_fallen(found: Undone) -> None:
    if not found.fallen:
        return
    table = Table("event", "handler", "error", title="fail without it", title_justify="left")
    for one in found.fallen[:SHOWN]:
        table.add_row(cell(one.event), cell(one.handler), cell(one.error))
    out.print(table)
    _print_rest(len(found.fallen))


def _print_effects(rows: Sequence[LedgerRow], title: str) -> None:
    if not rows:
        return
    table = Table("event", "effect", "state", "at", title=f"effects {title}", title_justify="left")
    for row in rows[:SHOWN]:
        table.add_row(cell(row.event), cell(row.handler), row.state.value, moment(row.write_at))
    out.print(table)
    _print_rest(len(rows))


def _print_rest(count: int) -> None:
    if count > SHOWN:
        out.print(f"… and {count - SHOWN:,} more; --json shows all", highlight=False)
