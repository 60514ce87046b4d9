"""`pipeline bench show`: results that were kept, and how they are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.table import Table

from benchmarks.results import Result
from benchmarks.summary import Line, lines, misses
from workers.cli.context import Exit, Json, cell, fail, out, print_json

Kept = Annotated[Path, typer.Argument(help="A result, as `pipeline bench run` has written it.")]


def show(kept: Kept, *, as_json: Json = False) -> None:
    """Show a result in the terminal.

    Example: pipeline bench show bench-results/20240501T120000Z.json
    """
    tell(read(kept), as_json=as_json)


def read(path: Path) -> Result:
    """A result that was kept; ends the command with a sentence where it is none."""
    try:
        return Result.model_validate_json(path.read_bytes())
    except OSError as error:
        fail(f"{path} can't be read: {error.strerror}", Exit.USAGE)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        fail(f"{path} is no result of a benchmark: {where}: {first['msg']}", Exit.USAGE)


def tell(result: Result, *, as_json: bool) -> None:
    """A result for people, or for programs."""
    if as_json:
        print_json(json.loads(result.model_dump_json()))
        return
    where = result.environment
    out.print(
        f"{cell(where.cpu)}, {where.cores} cores, {where.memory_gib} GiB, load before "
        f"{where.load_before}; MongoDB {where.write_concern}; Redis {where.redis_durability}",
        highlight=False,
    )
    table = Table("scenario", "what", "figure", "median", "least to most", "runs", box=None)
    for column in table.columns[3:]:
        column.justify = "right"
    for line in lines(result.runs):
        table.add_row(*_cells(line))
    out.print(table)
    if result.ended_at is None:
        out.print("[yellow]![/] not run to its end", highlight=False)
    for each in misses(result.runs):
        of = f"{each.scenario}, {each.what}" if each.what else each.scenario
        out.print(
            f"[red]✗[/] {cell(of)} missed in {each.missed} of {each.runs} runs: {cell(each.words)}",
            highlight=False,
            soft_wrap=True,
        )
    for sentence in dict.fromkeys(note for one in result.runs for note in one.notes):
        out.print(f"[yellow]![/] {cell(sentence)}", highlight=False)


def _cells(line: Line) -> list[str]:
    between = f"{line.least:,.10g} to {line.most:,.10g}" if line.runs > 1 else ""
    what = f"[red]✗[/] {cell(line.what)}" if line.missed else cell(line.what)
    return [line.scenario, what, line.figure, f"{line.median:,.10g}", between, str(line.runs)]
