"""`pipeline bench report`, `compare`, `predict`: what results say, and what of other loads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmarks.cli.extra import Lazy
from benchmarks.cli.kept import Kept, read
from benchmarks.peers.peer import Guarantees
from benchmarks.peers.subjects import SUBJECTS
from benchmarks.results import Run
from benchmarks.scenarios import SCENARIOS
from workers.cli.context import Exit, Json, cell, fail, out, print_json

if TYPE_CHECKING:
    from benchmarks import comparing, prediction, reporting
else:
    comparing, prediction, reporting = (
        Lazy(f"benchmarks.{name}") for name in ("comparing", "prediction", "reporting")
    )

Results = Annotated[
    list[Path], typer.Argument(help="Results of one machine, as `pipeline bench run` wrote them.")
]
Workers = Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)]
Rate = Annotated[float | None, typer.Option("--rate", help="Single events a second.", min=0.001)]
Backlog = Annotated[int | None, typer.Option("--events", help="Events of a backlog.", min=1)]
Deadline = Annotated[
    float | None, typer.Option(help="Seconds in which the backlog is to be done.", min=0.001)
]
HotShare = Annotated[float, typer.Option(help="Share of the events that one id has.", min=0, max=1)]
FailureRate = Annotated[
    float, typer.Option(help="Probability that an attempt fails.", min=0, max=0.999)
]
Attempts = Annotated[int, typer.Option(help="Most attempts at an event.", min=1)]
OnlyCheck = Annotated[
    bool, typer.Option("--check", help="Only the variants that were held out, one by one.")
]
Page = Annotated[Path, typer.Option("--out", help="The page to write.")]
Earlier = Annotated[Path | None, typer.Option(help="An earlier result to compare this one with.")]


def report(kept: Kept, target: Page = Path("report.html"), against: Earlier = None) -> None:
    """Write a result as one HTML page: the conclusion, plots, tables, and what it was measured on.

    The page fetches nothing and holds the result itself.

    Example: pipeline bench report bench-results/20240501T120000Z.json --out report.html
    """
    result = read(kept)
    written = reporting.page(
        result,
        guarantees={one.name: _promised(one.guarantees) for one in SUBJECTS},
        comparisons=comparing.compare_results(result, read(against)) if against else (),
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
    found = comparing.compare_results(read(one), read(other))
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
    workers: Workers = 2,
    per_second: Rate = None,
    events: Backlog = None,
    deadline: Deadline = None,
    hot_share: HotShare = 0.0,
    failure_rate: FailureRate = 0.0,
    attempts: Attempts = 5,
    checks: OnlyCheck = False,
    as_json: Json = False,
) -> None:
    """Predict throughput, latency, and how long a backlog takes, from what was measured.

    Fits a law of scaling and a queue to runs of the scenarios throughput, workers, rates and
    hot-id; those of failures are held against it. How far such a prediction is off is told with
    it: the model is fitted a second time, to a part of the variants, and held against the others.
    With --check these are told one by one; it ends with 1 where an error is beyond its bar.

    Example: pipeline bench predict results.json --workers 6 --rate 400
    """
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
        errors = prediction.accuracy(_checked(chosen))
    except prediction.UnfitRunsError as error:
        fail(str(error), Exit.FAILED)
    if as_json:
        held_out = [one.model_dump() for one in errors]
        print_json(json.loads(found.model_dump_json()) | {"held_out": held_out})
    else:
        _print_prediction(found, errors)


def _checked(runs: Sequence[Run]) -> list[prediction.Check]:
    """Predictions of variants that the model has not seen; none where too few were measured."""
    fitted, held = prediction.hold_out(runs)
    return prediction.check(prediction.fit(fitted), held) if held else []


def _tell_checks(checks: Sequence[prediction.Check], *, as_json: bool) -> None:
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


def _print_comparisons(found: Sequence[comparing.Comparison]) -> None:
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


def _print_prediction(found: prediction.Prediction, errors: Sequence[prediction.Accuracy]) -> None:
    table = Table("what", "expected", box=None, show_header=False)
    for name, value in found:
        if value is not None and name != "notes":
            table.add_row(name.replace("_", " "), cell(str(value)))
    out.print(table)
    for one in errors:
        sign = "[green]✓[/]" if one.within_bar == one.variants else "[red]✗[/]"
        out.print(f"{sign} {cell(str(one))}", highlight=False, soft_wrap=True)
    if not errors:
        out.print(
            "[yellow]![/] there are too few variants to hold any out: how far this is off is "
            "not known",
            highlight=False,
            soft_wrap=True,
        )
    for note in found.notes:
        out.print(f"[yellow]![/] {cell(note)}", highlight=False, soft_wrap=True)
