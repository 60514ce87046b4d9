"""`pipeline bench list` and `run`: what can be measured, and measuring it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.bench import Bench
from benchmarks.cli.kept import tell
from benchmarks.criteria import judged
from benchmarks.environment import environment
from benchmarks.feeding import StalledError
from benchmarks.flights import FlightsMissingError
from benchmarks.places import PlaceTakenError, claim_folder
from benchmarks.results import Result, Run
from benchmarks.runner import Step, make, steps, takes
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.selecting import Selection, UnfitSelectionError, facts
from benchmarks.workload import UnfitFileError, Workload, in_order
from workers import logs
from workers.bootstrap import process_name, servers
from workers.cli.context import (
    Exit,
    Json,
    cell,
    err,
    explained,
    fail,
    out,
    print_json,
    settings_from,
)

RESULTS: Final = Path("bench-results")
HANDLERS: Final = "handlers.appointments"
INTERRUPTED: Final = 130


def list_scenarios(*, as_json: Json = False) -> None:
    """List the scenarios: what each asks, how many runs answer it, what counts as a pass.

    Example: pipeline bench list
    """
    if as_json:
        print_json([_described(scenario) for scenario in SCENARIOS])
        return
    table = Table("scenario", "question", "runs", "passes if", box=None)
    for scenario in SCENARIOS:
        runs = len(scenario.variants(scenario.events))
        passes = "\n".join(criterion.words for criterion in scenario.criteria)
        table.add_row(scenario.name, scenario.question, str(runs), passes)
    out.print(table)


def _described(scenario: Scenario) -> dict[str, object]:
    return {
        "name": scenario.name,
        "question": scenario.question,
        "events": scenario.events,
        "variants": [labels for labels, _ in scenario.variants(scenario.events)],
        "criteria": [criterion.words for criterion in scenario.criteria],
    }


def run(
    names: Annotated[
        list[str] | None, typer.Argument(help="Scenarios, by name; all of them unless given.")
    ] = None,
    *,
    events: Annotated[
        int | None,
        typer.Option(help="Events of a run; as the scenario says unless given.", min=1),
    ] = None,
    repeat: Annotated[int, typer.Option(help="Rounds of each scenario.", min=1, max=100)] = 3,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Events to send instead of flights, as `pipeline export` writes them; for the "
            "handlers of --handlers.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE[,…]",
            help="Make only the runs with this label, subject, load or number of workers; may be "
            "repeated.",
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--out", help="Where to write; bench-results/<time>.json unless given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run scenarios with servers and workers of their own, and keep what was measured.

    All runs of a scenario are made once, then all of them again in the other order.
    Ends with 1 where a criterion is not met. Whatever ends it before, Ctrl-C too, the runs that
    were made by then are kept. Scenarios of events that are made up, and those that
    are about certain handlers, take no --data.

    Example: pipeline bench run throughput rates --repeat 5

    Example: pipeline bench run peers --only subject=pipeline,limit --only load=bulk
    """
    chosen = _named(names or [])
    selection = _selected(only or [], chosen)
    if data is not None:
        _check(data, chosen)
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    logs.configure("warning", process=process_name("bench"))
    try:
        with explained():
            result, cut = _measured(chosen, events, repeat, data, selection)
            if result.runs:
                _keep(result, target or RESULTS / f"{result.name}.json", as_json=as_json)
            if cut is not None:
                raise cut
    except (PlaceTakenError, FlightsMissingError, UnfitFileError) as error:
        fail(str(error), Exit.USAGE)
    except StalledError as error:
        fail(str(error), Exit.FAILED)
    except KeyboardInterrupt:
        err.print("ended; all processes are stopped", highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    if any(one.passed is False for one in result.runs):
        raise typer.Exit(Exit.FAILED)


def _keep(result: Result, target: Path, *, as_json: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(result.model_dump_json(indent=1, exclude_defaults=True) + "\n")
    tell(result, as_json=as_json)
    if not as_json:
        out.print(f"written to {cell(target)}", highlight=False, soft_wrap=True)


def _named(names: Sequence[str]) -> list[Scenario]:
    known = {scenario.name: scenario for scenario in SCENARIOS}
    unknown = [name for name in names if name not in known]
    if unknown:
        fail(f"there is no scenario {unknown[0]!r}; there are {', '.join(known)}", Exit.USAGE)
    return [known[name] for name in names] if names else list(SCENARIOS)


def _selected(texts: Sequence[str], chosen: Sequence[Scenario]) -> Selection:
    """What is chosen of these scenarios' runs; ends the command where that is nothing."""
    try:
        selection = Selection.parsed(texts)
    except UnfitSelectionError as error:
        fail(str(error), Exit.USAGE)
    runs = [run for scenario in chosen for run in scenario.variants(scenario.events)]
    if not any(selection.takes(labels, spec) for labels, spec in runs):
        there = sorted({f"{n}={value}" for run in runs for n, value in facts(*run).items()})
        fail(f"no run has {selection}; there are {', '.join(there)}", Exit.USAGE)
    return selection


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _check(data: Path, chosen: Sequence[Scenario]) -> None:
    """End the command where the file holds no events, or nobody takes them; say who does not."""
    try:
        first = next(in_order(Workload(source=str(data), events=1)), None)
    except UnfitFileError as error:
        fail(str(error), Exit.USAGE)
    if first is None:
        fail(f"{data} holds no event", Exit.USAGE)
    others = [
        scenario.name
        for scenario in chosen
        if not any(takes(scenario, spec) for _, spec in scenario.variants(scenario.events))
    ]
    if len(others) == len(chosen):
        fail(f"none of these scenarios takes other events: {', '.join(others)}", Exit.USAGE)
    if others:
        err.print(
            f"[yellow]![/] with events of their own, whatever {cell(data)} holds: "
            f"{', '.join(others)}",
            highlight=False,
            soft_wrap=True,
        )


def _measured(
    chosen: Sequence[Scenario],
    events: int | None,
    repeat: int,
    data: Path | None,
    only: Selection,
) -> tuple[Result, Exception | KeyboardInterrupt | None]:
    """What was measured, and what ended it before it was done, if anything did."""
    # Whose events these are, theirs are the handlers.
    handlers = [HANDLERS] if data is None else None
    settings = settings_from(log_level="warning", handlers=handlers)
    folder = settings.data_dir / "bench"
    claim_folder(folder, wipe=True)
    settings = settings.model_copy(update={"data_dir": folder})
    began_at = datetime.now(UTC)
    todo = steps(chosen, repeat=repeat, events=events, data=data, only=only)
    cut: Exception | KeyboardInterrupt | None = None
    with servers(settings) as where, _progress(len(todo)) as (told, done):
        found = environment(where)
        runs: list[Run] = []
        try:
            for step, one in zip(todo, make(Bench(settings, where), todo, told), strict=True):
                runs.append(one)
                done(step)
        except (Exception, KeyboardInterrupt) as why:  # noqa: BLE001 - raised when all is kept
            cut = why
    result = Result(
        name=f"{began_at:%Y%m%dT%H%M%SZ}",
        began_at=began_at,
        ended_at=None if cut else datetime.now(UTC),
        environment=found,
        runs=[
            run
            for scenario in chosen
            for run in judged(scenario.criteria, [r for r in runs if r.scenario == scenario.name])
        ],
    )
    return result, cut


@contextmanager
def _progress(
    total: int,
) -> Iterator[tuple[Callable[[Step, str, int], None], Callable[[Step], None]]]:
    """Two bars: the runs, and the one that is under way; in a log, a line for each run made."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    # Drawn seldom, and for nobody not at all: it takes its time from what is measured.
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=err,
        transient=True,
        refresh_per_second=2,
        disable=not err.is_terminal,
    ) as bars:
        runs, current = bars.add_task("runs", total=total), bars.add_task("")

        def told(step: Step, what: str, events: int) -> None:
            whole = step.spec.workload.events
            bars.update(current, description=f"{step}: {what}", completed=events, total=whole)

        def done(step: Step) -> None:
            bars.advance(runs)
            if not err.is_terminal:
                made = f"{bars.tasks[runs].completed:g} of {total} runs made"
                err.print(f"{made}: {cell(str(step))}", highlight=False, soft_wrap=True)

        yield told, done
