"""Medians of the runs that are alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.results import PIPELINE, Run


class Line(NamedTuple):
    """One figure of runs that are alike.

    Attributes:
        scenario: its name.
        what: in what these runs differ from the scenario's others.
        figure: its name, with the unit.
        median: of the runs.
        least: of all.
        most: of all.
        runs: how many.
        missed: how many of them are not as the scenario asks for.
    """

    scenario: str
    what: str
    figure: str
    median: float
    least: float
    most: float
    runs: int
    missed: int = 0


class Missed(NamedTuple):
    """What runs that are alike missed of what their scenario asks for.

    Attributes:
        scenario: its name.
        what: as of a `Line`.
        words: what was asked for.
        missed: how many runs missed it.
        runs: of so many.
    """

    scenario: str
    what: str
    words: str
    missed: int
    runs: int


def lines(runs: Sequence[Run]) -> Iterator[Line]:
    """The figures of each group of runs that are alike, in the order in which they were made."""
    for (scenario, what), alike in _alike(runs):
        missed = sum(run.passed is False for run in alike)
        found: dict[str, list[float]] = {}
        for run in alike:
            for name, value in figures_of(run):
                found.setdefault(name, []).append(value)
        for name, values in found.items():
            among = median(values), min(values), max(values), len(values)
            yield Line(scenario, what, name, *among, missed)


def misses(runs: Sequence[Run]) -> Iterator[Missed]:
    """Which of the runs that are alike missed what, in the same order."""
    for (scenario, what), alike in _alike(runs):
        for words in dict.fromkeys(words for run in alike for words in run.missed):
            count = sum(words in run.missed for run in alike)
            yield Missed(scenario, what, words, count, len(alike))


def _alike(runs: Sequence[Run]) -> list[tuple[tuple[str, str], list[Run]]]:
    """Runs by scenario and by what they differ in."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.scenario, _what(run)), []).append(run)
    return sorted(groups.items(), key=lambda group: group[0][0])


def figures_of(run: Run) -> Iterator[tuple[str, float]]:
    """What a run came to, by name with the unit."""
    if run.latency is None and not run.figures:
        yield "events/s", round(run.per_second, 1)
    if run.latency is not None:
        for name in ("p50", "p99", "max"):
            yield f"{name}, ms", getattr(run.latency.end_to_end, name)
        yield "waiting at the end", run.backlog
    if run.usage and run.sent:
        working = sum(one.cpu_seconds for one in run.usage)
        yield "CPU of all processes, ms an event", round(working * 1000 / run.sent, 3)
        yield "most memory of a process, MiB", max(one.rss_mib_max for one in run.usage)
    if run.cost.redis_commands and run.sent:
        yield "Redis commands an event", round(run.cost.redis_commands / run.sent, 2)
        operations = sum(run.cost.mongodb_operations.values())
        yield "MongoDB operations an event", round(operations / run.sent, 2)
    yield from run.figures.items()
    for kind in ("lost", "doubled", "wrong", "dead", "errors", "retries"):
        count = getattr(run.reliability, kind)
        if count:
            yield kind, count


def _what(run: Run) -> str:
    of = [] if run.subject == PIPELINE else [run.subject]
    return ", ".join([*of, *(f"{name} {value}" for name, value in run.variant.items())])
