"""Benchmark results that were kept, one of them, and two held against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import ValidationError

from benchmarks.results import Result
from benchmarks.summary import Line, lines
from dashboards.console import TheConsole, TheVisit
from dashboards.web.rendering import Link
from pipeline.errors import NotFound, PipelineError

LINK: Final = Link("/ops/benchmarks", "Benchmarks", "b")
SHOWN: Final = 30
LARGEST: Final = 8 * 1024 * 1024
"""Bytes of a file that is read."""

router = APIRouter()


class Kept(NamedTuple):
    """A file in the folder, and the result in it; None where it holds none."""

    name: str
    result: Result | None


class Held(NamedTuple):
    """A figure, and the same one of another result, if that has it."""

    line: Line
    other: Line | None

    @property
    def ratio(self) -> float | None:
        """Of the medians; None where there is nothing to divide by."""
        if self.other is None or not self.other.median:
            return None
        return self.line.median / self.other.median

    @property
    def apart(self) -> bool:
        """Whether the runs of one are all above those of the other."""
        if self.other is None:
            return False
        return self.line.least > self.other.most or self.line.most < self.other.least


@router.get("/ops/benchmarks")
def listed(console: TheConsole, visit: TheVisit) -> Response:
    """The newest results in the folder."""
    folder = console.app.settings.console_benchmarks
    return console.render("benchmarks.html", visit, kept=_newest(folder), folder=folder)


@router.get("/ops/benchmarks/{name}")
def one(
    console: TheConsole,
    visit: TheVisit,
    name: str,
    against: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """The figures of one result, beside those of another where one is named."""
    folder = console.app.settings.console_benchmarks
    result = _read(folder, name)
    other = _read(folder, against) if against else None
    others = {_what(line): line for line in lines(other.runs)} if other else {}
    return console.render(
        "benchmark.html",
        visit,
        name=name,
        against=against,
        result=result,
        other=other,
        alike=other is None or _machine(other) == _machine(result),
        held=[Held(line, others.get(_what(line))) for line in lines(result.runs)],
        notes=list(dict.fromkeys(note for run in result.runs for note in run.notes))[:50],
        others=[kept.name for kept in _newest(folder) if kept.result and kept.name != name],
    )


def _newest(folder: Path) -> list[Kept]:
    names = sorted((path.name for path in folder.glob("*.json")), reverse=True)[:SHOWN]
    return [Kept(name, _parsed(folder / name)) for name in names]


def _read(folder: Path, name: str) -> Result:
    """The result in a file that is in the folder, and nowhere else."""
    if name not in {path.name for path in folder.glob("*.json")}:
        raise NotFound(f"there is no result {name!r} in {folder}")
    result = _parsed(folder / name)
    if result is None:
        raise PipelineError(f"{name} is no result of a benchmark, or can't be read")
    return result


def _parsed(path: Path) -> Result | None:
    try:
        if path.stat().st_size > LARGEST:
            return None
        return Result.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _what(line: Line) -> tuple[str, str, str]:
    return line.scenario, line.what, line.figure


def _machine(result: Result) -> tuple[str, int]:
    return result.environment.cpu, result.environment.cores
