"""Tables of a report: what is in each cell, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.comparing import Comparison
from benchmarks.estimate import Estimate
from benchmarks.reporting.figures import (
    BACKLOG,
    CPU,
    END_TO_END,
    MEMORY,
    MONGODB_BYTES,
    MONGODB_OPERATIONS,
    PER_SECOND,
    REDIS_BYTES,
    REDIS_COMMANDS,
    RUN,
    SECONDS,
    WAIT,
    Figure,
    measured,
    mongodb_operations,
)
from benchmarks.reporting.findings import Tone, counted
from benchmarks.reporting.numbers import NONE, number, short, span, value
from benchmarks.reporting.summary import (
    Group,
    Ratio,
    Scenario,
    Spread,
    compared_figures,
    ratio,
    spread,
)
from benchmarks.results import Environment, Load, Usage

ROWS: Final = 200
LOUD: Final = frozenset({"lost", "doubled", "wrong"})
WENT_WRONG: Final = (
    "lost", "doubled", "wrong", "dead", "doomed", "errors", "retries", "late", "duplicates",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """What is in a cell: its text, a smaller line below it, how it is meant, if it is words."""

    text: str
    note: str = ""
    tone: Tone = Tone.PLAIN
    words: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row heads it.

    Attributes:
        caption: what the cells are.
        columns: their heads.
        rows: at most 200.
        left_out: rows that would have been more.
        folded: it is opened by who wants it.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int = 0
    folded: bool = False


def tables(scenario: Scenario) -> list[Table]:
    """A scenario's tables, as far as there is something to put in."""
    bulk, open_ = scenario.loaded(Load.BULK), scenario.loaded(Load.OPEN)
    p50, p99 = END_TO_END["p50"], END_TO_END["p99"]
    found = [
        _rates(scenario, [group for group in bulk if group.spread(PER_SECOND)]),
        _latencies(scenario, open_),
        _latencies(scenario, [group for group in bulk if group.spread(p50)]),
        _ratios(scenario, bulk, PER_SECOND, PER_SECOND.name.capitalize()),
        _ratios(scenario, open_, p50, "Latency within which half of the events are done (p50)"),
        _ratios(scenario, open_, p99, "Latency within which 99% of events are done (p99)"),
        _besides(scenario),
        _reliability(scenario),
        _cost(scenario),
        _usage(scenario),
    ]
    return [table for table in found if table is not None]


def environment(found: Environment) -> Table:
    """Where it was measured."""
    rows = {
        "system": found.system,
        "processor": found.cpu,
        "cores": str(found.cores),
        "memory": f"{number(found.memory_gib)} GiB",
        "load before the first run": number(found.load_before),
        "revision": found.revision or "not known",
        "MongoDB's write concern": found.write_concern,
        "Redis' durability": found.redis_durability,
        **{f"version of {name}": version for name, version in sorted(found.versions.items())},
    }
    return _table(
        "Where it was measured; figures of different environments don't compare",
        ("what", "is"),
        ([Cell(short(name)), Cell(short(text), words=True)] for name, text in rows.items()),
    )


def comparison(comparisons: Sequence[Comparison]) -> Table | None:
    """This result's figures over the earlier one's."""
    rows = (
        [
            Cell(short(name)),
            Cell(short(one.figure), words=True),
            Cell(number(one.a)),
            Cell(number(one.b)),
            *_interval(one.ratio),
            Cell(f"{one.runs:,}"),
            Cell(one.words, words=True),
        ]
        for name, one in compared_figures(comparisons)
    )
    heads = ("what", "figure", "now", "earlier", "ratio", "from", "to", "runs", "verdict")
    return _table("This result (A) over the earlier one (B)", heads, rows) if comparisons else None


def _interval(ratio: Estimate | None) -> Iterator[Cell]:
    ends = (None, None, None) if ratio is None else (ratio.value, ratio.low, ratio.high)
    for end in ends:
        yield Cell(NONE if end is None else number(end))


def _rates(scenario: Scenario, groups: Sequence[Group]) -> Table | None:
    if not groups:
        return None
    heads = ("runs", PER_SECOND.name, SECONDS.name, "events sent", *_asked(groups))
    rows = (
        [
            *_heading(scenario, group),
            Cell(f"{len(group.runs):,}"),
            _spread(group.spread(PER_SECOND)),
            _spread(group.spread(SECONDS)),
            _spread(spread(run.sent for run in group.runs)),
            *(_passed(group) for _ in _asked(groups)),
        ]
        for group in groups
    )
    caption = "Bulk load: median over runs, and from the lowest to the highest"
    return _table(caption, (*_heads(scenario), *heads), rows)


def _latencies(scenario: Scenario, groups: Sequence[Group]) -> Table | None:
    if not groups:
        return None
    offered = groups[0].load == Load.OPEN
    figures = [*END_TO_END.values(), *WAIT.values(), *RUN.values()]
    shown = [figure for figure in figures if any(group.spread(figure) for group in groups)]
    timetable = ("offered a second", PER_SECOND.name, "waiting at the end", "kept up")
    asked = _asked(groups)
    heads = (
        "runs",
        *(timetable if offered else ()),
        *(asked if offered else ()),
        *(f"{figure.name}, ms" for figure in shown),
    )
    rows = (
        [
            *_heading(scenario, group),
            Cell(f"{len(group.runs):,}"),
            *(_kept_up(group) if offered else ()),
            *(_passed(group) for _ in asked if offered),
            *(_spread(group.spread(figure)) for figure in shown),
        ]
        for group in groups
    )
    caption = (
        "Open load: latency from the moment an event was due, median over runs, and from the "
        "lowest to the highest"
        if offered
        else "Latency under a bulk load, mostly waiting in line"
    )
    return _table(caption, (*_heads(scenario), *heads), rows)


def _ratios(scenario: Scenario, groups: Sequence[Group], figure: Figure, what: str) -> Table | None:
    """Each subject over each other of the same variant."""
    if len({group.subject for group in groups}) == 1 or not groups:
        return None
    below = [name for name in scenario.subjects if any(group.subject == name for group in groups)]

    def cells(group: Group) -> Iterator[Cell]:
        peers = {peer.subject: peer for peer in scenario.peers(group)}
        for name in below:
            found = ratio(group, peers[name], figure) if name in peers else None
            yield Cell(NONE) if found is None else _ratio(found)

    return _table(
        f"{what}: the row's subject over the column's, run by run side by side",
        (*_heads(scenario), *(f"over {short(name)}" for name in below)),
        ([*_heading(scenario, group), *cells(group)] for group in groups),
    )


def _besides(scenario: Scenario) -> Table | None:
    names = list(dict.fromkeys(name for run in scenario.runs for name in run.figures))
    groups = [group for group in scenario.groups if any(run.figures for run in group.runs)]
    if not names:
        return None
    rows = (
        [
            *_heading(scenario, group),
            Cell(f"{len(group.runs):,}"),
            *(_spread(group.spread(measured(name))) for name in names),
            *(_passed(group) for _ in _asked(groups)),
        ]
        for group in groups
    )
    heads = (*_heads(scenario), "runs", *map(short, names), *_asked(groups))
    return _table("What was measured: median over runs, and their range", heads, rows)


def _reliability(scenario: Scenario) -> Table | None:
    known = [
        name
        for name in WENT_WRONG
        if any(counted(group, name) is not None for group in scenario.groups)
    ]
    if not known:
        return None
    rows = (
        [
            *_heading(scenario, group),
            Cell(f"{sum(run.events for run in group.runs):,}"),
            *(_counted(group, name) for name in known),
        ]
        for group in scenario.groups
    )
    caption = f"What went wrong and what was put right, all runs together; {NONE} is not known"
    return _table(caption, (*_heads(scenario), "different events", *known), rows)


def _cost(scenario: Scenario) -> Table | None:
    kinds = sorted({kind for run in scenario.runs for kind in run.cost.mongodb_operations})
    figures = [
        CPU,
        REDIS_COMMANDS,
        REDIS_BYTES,
        MONGODB_OPERATIONS,
        *map(mongodb_operations, kinds),
        MONGODB_BYTES,
        MEMORY,
    ]
    shown = [figure for figure in figures if any(map(figure.read, scenario.runs))]
    if not shown:
        return None
    rows = (
        [*_heading(scenario, group), *(_spread(group.spread(figure)) for figure in shown)]
        for group in scenario.groups
    )
    caption = (
        "Cost of one event sent, and memory: median over runs, and from the lowest to the highest"
    )
    heads = ("CPU ms" if figure is CPU else figure.name for figure in shown)
    return _table(caption, (*_heads(scenario), *heads), rows)


def _usage(scenario: Scenario) -> Table | None:
    if not any(run.usage for run in scenario.runs):
        return None
    rows = (
        [
            *_heading(scenario, group),
            Cell(short(name), words=True),
            _spread(spread(usage.cpu_seconds for usage in used)),
            *(
                _spread(spread(getattr(usage, f"rss_mib_{when}") for usage in used))
                for when in ("start", "max", "end")
            ),
        ]
        for group in scenario.groups
        for name, used in _processes(group).items()
    )
    heads = ("process", "CPU seconds", "MiB at the start", "MiB at most", "MiB at the end")
    caption = "Processor time and resident memory by process: median over runs, and their range"
    return _table(caption, (*_heads(scenario), *heads), rows, folded=True)


def _processes(group: Group) -> Mapping[str, Sequence[Usage]]:
    found: dict[str, list[Usage]] = {}
    for run in group.runs:
        for usage in run.usage:
            found.setdefault(usage.process, []).append(usage)
    return found


def _table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, folded: bool = False
) -> Table:
    told = [tuple(row) for row in rows]
    return Table(caption, tuple(columns), tuple(told[:ROWS]), max(0, len(told) - ROWS), folded)


def _heads(scenario: Scenario) -> tuple[str, ...]:
    return ("subject", *(short(name) for name in _told(scenario)))


def _heading(scenario: Scenario, group: Group) -> list[Cell]:
    found = {"workers": group.workers, **group.variant}
    names = _told(scenario)
    return [Cell(short(group.subject)), *(Cell(value(found.get(name))) for name in names)]


def _told(scenario: Scenario) -> tuple[str, ...]:
    """In what variants differ, and the workers where those do and no variant says so."""
    workers = {run.workers for run in scenario.runs}
    if len(workers) > 1 and "workers" not in scenario.varied:
        return (*scenario.varied, "workers")
    return scenario.varied


def _spread(found: Spread | None) -> Cell:
    if found is None:
        return Cell(NONE)
    return Cell(number(found.median), span(found) if found.low != found.high else "")


def _ratio(found: Ratio) -> Cell:
    if found.pairs == 0:
        return Cell(number(found.spread.median), "not side by side")
    note = f"{span(found.spread)}, {found.pairs} pairs" if found.pairs > 1 else "one run only"
    return Cell(number(found.spread.median), note)


def _kept_up(group: Group) -> Iterator[Cell]:
    yield Cell(value(group.offered))
    yield _spread(group.spread(PER_SECOND))
    yield _spread(group.spread(BACKLOG))
    if group.fell_behind:
        yield Cell(f"✗ not in {group.fell_behind} of {len(group.runs)}", tone=Tone.BAD)
    else:
        yield Cell("✓ yes", tone=Tone.GOOD)


def _asked(groups: Sequence[Group]) -> tuple[str, ...]:
    """The head of the column that says whether it was as asked for, where anything is."""
    judged = any(run.passed is not None for group in groups for run in group.runs)
    return ("as asked for",) if judged else ()


def _passed(group: Group) -> Cell:
    judged = [run.passed for run in group.runs if run.passed is not None]
    if not judged:
        return Cell("nothing asked")
    if all(judged):
        return Cell("✓ met", tone=Tone.GOOD)
    return Cell(f"✗ missed in {judged.count(False)} of {len(judged)}", tone=Tone.BAD)


def _counted(group: Group, name: str) -> Cell:
    found = counted(group, name)
    if found is None:
        return Cell(NONE)
    if found and name in LOUD:
        return Cell(f"✗ {found:,} {name}", tone=Tone.BAD)
    return Cell(f"{found:,}")
