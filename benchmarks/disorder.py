"""Total disorder: real events shuffled completely, a tenth of them twice, through real workers.

Then every table is compared with a sequential run of the same events in memory, and the ledger
with what it should hold. Nothing but the workers' own healing has put right what came late.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.bench import Bench
from benchmarks.feeding import StalledError, feed, wait_until_idle
from benchmarks.judging import judge, parsed
from benchmarks.places import PlaceTakenError, claim_folder
from benchmarks.sources import SOURCES, Source, SourceMissingError
from pipeline.settings import Settings
from workers import logs
from workers.bootstrap import Application, process_name, servers
from workers.cli.context import explained

SEED: Final = 2016
TWICE: Final = 0.1
LOOK_SECONDS: Final = 0.5
INTERRUPTED: Final = 130

out = Console()


class Data(StrEnum):
    """What can be run."""

    SEPSIS = "sepsis"
    HOTEL = "hotel"
    FLIGHTS = "flights"
    STOCK = "stock"
    ALL = "all"


@dataclass(frozen=True)
class Figures:
    """What one run came to.

    Attributes:
        data: which events.
        events: how many, each once.
        sent: how many with those sent twice.
        workers: worker processes.
        seconds: from the first event sent to nothing left to do.
        events_per_second: of those sent.
        late: events that came after a later one of their document.
        healed: rows of temporal tables that late events have changed afterwards, and with
            them what was derived from them.
        documents: by table, how many there are.
        differences: documents that are missing, too many or different.
        ledger: rows that are missing, too many or without their effect.
        details: the first of what is wrong.
    """

    data: str
    events: int
    sent: int
    workers: int
    seconds: float
    events_per_second: float
    late: int
    healed: int
    documents: dict[str, int]
    differences: int
    ledger: int
    details: list[str]


def main(
    data: Annotated[
        list[Data] | None, typer.Option(help="Which events; may be repeated. All unless given.")
    ] = None,
    events: Annotated[
        int | None, typer.Option(help="The first so many of each; all unless given.", min=1)
    ] = None,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 8,
    seed: Annotated[int, typer.Option(help="Of the order, and of what is sent twice.")] = SEED,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.")
    ] = None,
) -> None:
    """Send real events in total disorder, and compare every table with a sequential run."""

    def told(found: Sequence[Figures]) -> None:
        if json_file is not None:
            json_file.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")
        _show(found[-1:])

    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    logs.configure("warning", process=process_name("disorder"))
    try:
        with explained():
            named = set(data or [Data.ALL])
            chosen = [one for one in SOURCES if named & {Data.ALL, one.name}]
            found = _run_all(chosen, events, workers, seed, told)
    except (PlaceTakenError, SourceMissingError, StalledError) as error:
        sys.stderr.write(f"disorder: {error}\n")
        raise typer.Exit(1 if isinstance(error, StalledError) else 2) from None
    except KeyboardInterrupt:
        out.print("ended; all processes are stopped", highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    if any(one.differences or one.ledger for one in found):
        raise typer.Exit(1)


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _run_all(
    sources: Sequence[Source],
    wanted: int | None,
    workers: int,
    seed: int,
    told: Callable[[Sequence[Figures]], None],
) -> list[Figures]:
    """Run one after the other; what is known by then is told after each, and kept if we end."""
    for source in sources:
        source.lines(1)  # what is missing is told before anything is started
    settings = Settings()
    folder = settings.data_dir / "disorder"
    claim_folder(folder, wipe=True)
    changes = {"data_dir": folder, "log_level": "warning", "workers": workers}
    settings = settings.model_copy(update=changes)
    found = []
    with servers(settings) as where:
        for source in sources:
            of_source = settings.model_copy(update={"handlers": [source.handlers]})
            found.append(_run(Bench(of_source, where), source, wanted, seed))
            told(found)
    return found


def _run(bench: Bench, source: Source, wanted: int | None, seed: int) -> Figures:
    lines = source.lines(wanted)
    arriving = shuffled(lines, seed)
    with bench.fresh() as app, _bars() as bars:
        sending = bars.add_task(f"{source.name}: sent", total=len(arriving))
        with bench.working(app) as supervisor:
            working = _Working(app, bars, source, len(lines))

            def tick() -> None:
                supervisor.tend()
                working.look()

            fed = feed(
                app,
                parsed(arriving),
                on_submission=lambda fed: bars.update(sending, completed=fed.submitted),
                tick=tick,
                at_once=app.settings.batch_size,
            )
            seconds = wait_until_idle(app, tick=tick) - fed.started
        working.all_done()
        comparing = bars.add_task(f"{source.name}: compared", total=None)
        verdict = judge(app.store, app.registry, lines)
        bars.update(comparing, total=1, completed=1)
        tables = verdict.differences.tables
        return Figures(
            data=source.name,
            events=fed.accepted,
            sent=fed.submitted,
            workers=app.settings.workers,
            seconds=round(seconds, 1),
            events_per_second=round(fed.submitted / seconds, 1),
            late=verdict.late,
            healed=verdict.healed,
            documents={name: table.actual for name, table in tables.items()},
            differences=verdict.wrong_documents,
            ledger=verdict.wrong_rows,
            details=verdict.details(),
        )


def shuffled(lines: Sequence[bytes], seed: int) -> list[bytes]:
    """The lines in no order at all, a tenth of them twice; the same for the same seed."""
    draw = random.Random(seed)
    arriving = [*lines, *draw.sample(lines, int(len(lines) * TWICE))]
    draw.shuffle(arriving)
    return arriving


class _Working:
    """A bar of what the handlers have done, by the ledger's own count; not at every look."""

    def __init__(self, app: Application, bars: Progress, source: Source, events: int) -> None:
        self._app = app
        self._bars = bars
        self._events = events
        self._handlers = sum(1 for _ in app.registry)
        self._task = bars.add_task(f"{source.name}: done", total=events)
        self._looked = 0.0

    def look(self) -> None:
        """Count, unless that was just done."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        rows = self._app.store.counts(["ledger"])["ledger"]
        self._bars.update(self._task, completed=min(rows // self._handlers, self._events))

    def all_done(self) -> None:
        """Nothing is left to be done."""
        self._bars.update(self._task, completed=self._events)


@contextmanager
def _bars() -> Iterator[Progress]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=out) as progress:
        yield progress


def _show(found: Sequence[Figures]) -> None:
    title = f"Total disorder, {found[0].workers} workers"
    columns = "data", "events", "sent", "seconds", "late", "healed", "differences", "ledger"
    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for one in found:
        counts = one.events, one.sent, one.seconds, one.late, one.healed
        table.add_row(one.data, *(f"{n:,}" for n in (*counts, one.differences, one.ledger)))
    out.print(table)
    for one in found:
        for line in one.details:
            out.print(f"{one.data}: {line}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
