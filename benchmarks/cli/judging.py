"""`pipeline bench report`, `compare`, `predict`: what results say, and what of other loads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmarks.cli.kept import Kept, read
from benchmarks.peers.peer import Guarantees
from benchmarks.peers.subjects import SUBJECTS
from benchmarks.results import Run
from benchmarks.scenarios import SCENARIOS
from workers.cli.context import Exit, Json, cell, fail, out, print_json

if TYPE_CHECKING:
    from benchmarks.comparing import Comparison
    from benchmarks.prediction import Check, Prediction

Results = Annotated[
    list[Path], typer.Argument(help="Results of one machine, as `pipeline bench run` wrote them.")
]


def report(
    kept: Kept,
    target: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
    against: Annotated[
        Path | None, typer.Option(help="An earlier result to compare this one with.")
    ] = None,
) -> None:
    """Write a result as one HTML page: the conclusion, plots, tables, and what it was measured on.

    The page fetches nothing and holds the result itself.

    Example: pipeline bench report bench-results/20240501T120000Z.json --out report.html
    """
    with _extra():
        from benchmarks.comparing import compare_results  # noqa: PLC0415 - loads numpy and scipy
        from benchmarks.reporting import page  # noqa: PLC0415 - loads matplotlib
    result = read(kept)
    written = page(
        result,
        guarantees={one.name: _promised(one.guarantees) for one in SUBJECTS},
        comparisons=compare_results(result, read(against)) if against else (),
        questions={scenario.name: scenario.question for scenario in SCENARIOS},
    )
    try:
        target.write_text(written)
    except OSError as error:
        fail(f"{target} can't be written: {error.strerror}", Exit.USAGE)
    out.print(f"written to {cell(str(target))}", highlight=False, soft_wrap=True)


def _promised(guarantees: Guarantees) -> list[str]:
    return [f"{name}: {words}" for name, words in asdict(guarantees).items()]


def compare(one: Kept, other: Kept, *, as_json: Json = False) -> None:
    """Compare two results: by what each figure differs, and whether the difference is real.

    A figure needs five runs on each side; of two results made one after the other the noise of
    the machine is in every interval.

    Example: pipeline bench compare before.json after.json
    """
    with _extra():
        from benchmarks.comparing import compare_results  # noqa: PLC0415 - loads numpy and scipy
    found = compare_results(read(one), read(other))
    if not found:
        fail("the two results have no scenario and variant in common", Exit.FAILED)
    if as_json:
        print_json([json.loads(each.model_dump_json()) for each in found])
        return
    for warning in dict.fromkeys(words for each in found for words in each.warnings):
        out.print(f"[yellow]![/] {cell(warning)}", highlight=False)
    _print_comparisons(found)


def predict(  # noqa: PLR0913 - each is an option of the command line
    results: Results,
    *,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 2,
    per_second: Annotated[
        float | None, typer.Option("--rate", help="Single events a second.", min=0.001)
    ] = None,
    events: Annotated[int | None, typer.Option(help="Events of a backlog.", min=1)] = None,
    deadline: Annotated[
        float | None, typer.Option(help="Seconds in which the backlog is to be done.", min=0.001)
    ] = None,
    hot_share: Annotated[
        float, typer.Option(help="Share of the events that one id has.", min=0, max=1)
    ] = 0.0,
    failure_rate: Annotated[
        float, typer.Option(help="Probability that an attempt fails.", min=0, max=0.999)
    ] = 0.0,
    attempts: Annotated[int, typer.Option(help="Most attempts at an event.", min=1)] = 5,
    checks: Annotated[
        bool,
        typer.Option("--check", help="Hold a third of the variants out, and print the errors."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Predict throughput, latency, and how long a backlog takes, from what was measured.

    Fits a law of scaling and a queue to runs of the scenarios throughput, workers, rates and
    hot-id. With --check the model is fitted to a part of the variants and held against the
    others; ends with 1 where an error is beyond its bar.

    Example: pipeline bench predict results.json --workers 6 --rate 400
    """
    with _extra():
        from benchmarks import prediction  # noqa: PLC0415 - loads numpy and scipy
    runs = [run for path in results for run in read(path).runs]
    try:
        chosen = prediction.to_fit(runs)
        if checks:
            _tell_checks(_checked(chosen), as_json=as_json)
            return
        found = prediction.fit(chosen).predict(
            workers=workers,
            per_second=per_second,
            events=events,
            deadline=deadline,
            hot_share=hot_share,
            failure_rate=failure_rate,
            attempts=attempts,
        )
    except prediction.UnfitRunsError as error:
        fail(str(error), Exit.FAILED)
    if as_json:
        print_json(json.loads(found.model_dump_json()))
    else:
        _print_prediction(found)


def _checked(runs: Sequence[Run]) -> list[Check]:
    from benchmarks import prediction  # noqa: PLC0415 - as above

    fitted, held = prediction.hold_out(runs)
    return prediction.check(prediction.fit(fitted), held)


def _tell_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    if not checks:
        fail("there are too few variants to hold any out; measure more", Exit.FAILED)
    if as_json:
        print_json([json.loads(one.model_dump_json()) for one in checks])
    else:
        for one in checks:
            sign = "[green]✓[/]" if one.within_bar else "[red]✗[/]"
            out.print(f"{sign} {cell(str(one))}", highlight=False, soft_wrap=True)
    if not all(one.within_bar for one in checks):
        raise typer.Exit(Exit.FAILED)


def _print_comparisons(found: Sequence[Comparison]) -> None:
    table = Table("runs", "figure", "first", "second", "what it says", box=None)
    for each in found:
        for figure in each.figures:
            table.add_row(
                cell(each.name),
                cell(figure.figure),
                f"{figure.a:,.4g}",
                f"{figure.b:,.4g}",
                cell(figure.words),
            )
    out.print(table)


def _print_prediction(found: Prediction) -> None:
    table = Table("what", "expected", box=None, show_header=False)
    for name, value in found:
        if value is not None and name != "notes":
            table.add_row(name.replace("_", " "), cell(str(value)))
    out.print(table)
    for note in found.notes:
        out.print(f"[yellow]![/] {cell(note)}", highlight=False, soft_wrap=True)


@contextmanager
def _extra() -> Iterator[None]:
    """Say what to install where the extra's packages are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        fail(f"{error.name} is missing; pip install 'event-pipeline[bench]'", Exit.USAGE)
