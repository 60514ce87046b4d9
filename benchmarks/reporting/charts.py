"""Which plots fit a scenario: chosen by its loads and by what its variants differ in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.comparing import Comparison
from benchmarks.reporting.figures import END_TO_END, PER_SECOND, Figure
from benchmarks.reporting.numbers import label, short
from benchmarks.reporting.summary import (
    Group,
    Scenario,
    Spread,
    along,
    axis,
    compared_figures,
    position,
    ratio,
)
from benchmarks.results import PIPELINE, Load

ROWS: Final = 24
LINES: Final = 8
POINTS_OF_A_LINE: Final = 4
SHOWN: Final = ("p50", "p95", "p99")


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a plot: a median with its lowest and highest value; colours go by subject."""

    label: str
    colour: int
    spread: Spread


@dataclass(frozen=True, slots=True)
class Bars:
    """Medians as bars, with whiskers from the lowest to the highest."""

    title: str
    unit: str
    rows: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Ratios:
    """Ratios as points on a logarithmic axis, with whiskers, beside a line at 1."""

    title: str
    unit: str
    rows: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Dots:
    """Percentiles as three points a row, on a logarithmic axis."""

    title: str
    unit: str
    rows: tuple[tuple[str, int, tuple[float, ...]], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """Medians along an axis, with their lowest and highest values."""

    label: str
    colour: int
    points: tuple[tuple[float, Spread], ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over a number in which variants differ."""

    title: str
    across: str
    unit: str
    logarithmic: bool
    lines: tuple[Line, ...]


Chart = Bars | Ratios | Dots | Lines


def charts(scenario: Scenario) -> Iterator[Chart]:
    """A scenario's plots: rates, latencies, and ratios to its peers, as far as there are any."""
    bulk = scenario.loaded(Load.BULK)
    if any(group.spread(PER_SECOND) for group in bulk):
        yield _rates(scenario, bulk)
    for load in Load:
        measured = [group for group in scenario.loaded(load) if group.spread(END_TO_END["p50"])]
        if measured:
            yield _latencies(scenario, measured)
    for load, figure, what in (
        (Load.BULK, PER_SECOND, "events a second"),
        (Load.OPEN, END_TO_END["p99"], "p99 latency"),
    ):
        rows = tuple(_beside(scenario, scenario.loaded(load), figure))[:ROWS]
        if rows:
            yield Ratios(f"{short(scenario.name)}: {what} over {PIPELINE}'s", "times", rows)


def compared(comparisons: Sequence[Comparison]) -> Ratios | None:
    """The intervals of a comparison; None if it has none."""
    rows = tuple(
        Bar(short(f"{name}: {one.figure}"), 0, Spread(of.value, of.low, of.high, one.runs))
        for name, one in compared_figures(comparisons)
        if (of := one.ratio) is not None and of.high is not None and of.low > 0
    )[:ROWS]
    return Ratios("This result over the earlier one", "times", rows) if rows else None


def described(chart: Chart) -> str:
    """What a plot shows, for those who can't see it; the tables have the numbers."""
    names = [row[0] if isinstance(row, tuple) else row.label for row in _named(chart)]
    kind = {Bars: "Bars", Ratios: "Points", Dots: "Points", Lines: "Lines"}[type(chart)]
    return f"{kind}. {chart.title}, for {re.sub(r'^$', 'all', '; '.join(names))}."


def _named(chart: Chart) -> Sequence[Bar | Line | tuple[str, int, tuple[float, ...]]]:
    return chart.lines if isinstance(chart, Lines) else chart.rows


def _rates(scenario: Scenario, groups: Sequence[Group]) -> Chart:
    title = f"{short(scenario.name)}: events a second"
    name = axis(groups, scenario.varied)
    lines = along(groups, name) if name else []
    if name and len(lines) <= LINES and all(len(line) > 1 for line in lines):
        return Lines(title, short(name), PER_SECOND.unit, False, _lines(scenario, lines, name))
    return Bars(title, PER_SECOND.unit, tuple(_bars(scenario, groups, PER_SECOND))[:ROWS])


def _latencies(scenario: Scenario, groups: Sequence[Group]) -> Chart:
    bulk = ", under a bulk load" if groups[0].load == Load.BULK else ""
    title = f"{short(scenario.name)}: latency{bulk}"
    name = axis(groups, scenario.varied)
    lines = along(groups, name) if name else []
    if name and len(lines) == 1 and len(lines[0]) >= POINTS_OF_A_LINE:
        return Lines(title, short(name), "ms", True, tuple(_percentiles(lines[0], name)))
    rows = (
        (label(scenario, group), _colour(scenario, group), tuple(found.median for found in spreads))
        for group in groups
        if len(spreads := [s for p in SHOWN if (s := group.spread(END_TO_END[p]))]) == len(SHOWN)
    )
    return Dots(title, "ms", tuple(rows)[:ROWS])


def _lines(scenario: Scenario, lines: Sequence[Sequence[Group]], name: str) -> tuple[Line, ...]:
    return tuple(
        Line(
            label(scenario, line[0], without=name),
            _colour(scenario, line[0]) if len(scenario.subjects) > 1 else number,
            _points(line, name, PER_SECOND),
        )
        for number, line in enumerate(lines)
    )


def _percentiles(line: Sequence[Group], name: str) -> Iterator[Line]:
    for number, percentile in enumerate(SHOWN):
        yield Line(percentile, number, _points(line, name, END_TO_END[percentile]))


def _points(line: Sequence[Group], name: str, figure: Figure) -> tuple[tuple[float, Spread], ...]:
    return tuple(
        (position(group, name), spread) for group in line if (spread := group.spread(figure))
    )


def _bars(scenario: Scenario, groups: Sequence[Group], figure: Figure) -> Iterator[Bar]:
    for group in groups:
        spread = group.spread(figure)
        if spread is not None:
            yield Bar(label(scenario, group), _colour(scenario, group), spread)


def _beside(scenario: Scenario, groups: Sequence[Group], figure: Figure) -> Iterator[Bar]:
    for group in groups:
        ours = [peer for peer in scenario.peers(group) if peer.subject == PIPELINE]
        for own in ours:
            found = ratio(group, own, figure)
            if found is not None and found.spread.low > 0:
                yield Bar(label(scenario, group), _colour(scenario, group), found.spread)


def _colour(scenario: Scenario, group: Group) -> int:
    return scenario.subjects.index(group.subject)
