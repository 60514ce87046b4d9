"""Runs as they are told of: alike ones together, with medians, spreads and ratios."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.comparing import Answer, Compared, Comparison
from benchmarks.reporting.figures import Figure
from benchmarks.results import PIPELINE, Load, Run, Value

WORKERS: Final = "workers"
ON: Final = frozenset({"on", "yes"})
OFF: Final = frozenset({"off", "no"})
Variant = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over runs: its median, lowest and highest value. It is no confidence interval."""

    median: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """One group's figure over another's.

    Attributes:
        spread: over the pairs of runs that were made side by side.
        pairs: how many those are; 0 if there was none, and it is that of the medians.
    """

    spread: Spread
    pairs: int

    @property
    def told_apart(self) -> bool:
        """Whether all pairs say more, or all less; a single one can only be taken as it is."""
        return self.pairs <= 1 or not self.spread.low <= 1 <= self.spread.high


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that are alike but for `repeat`: of one scenario, subject, load and variant."""

    subject: str
    load: Load
    variant: Variant
    runs: tuple[Run, ...]

    def spread(self, figure: Figure) -> Spread | None:
        """The figure over all its runs that have it; None if none has."""
        return spread(figure.read(run) for run in self.runs)

    @property
    def workers(self) -> str:
        """How many workers its runs had."""
        return " or ".join(str(count) for count in sorted({run.workers for run in self.runs}))

    @property
    def offered(self) -> float | None:
        """Of an open load, the timetable's rate; None if it had none, or not one only."""
        rates = {run.offered_per_second for run in self.runs}
        return rates.pop() if len(rates) == 1 else None

    @property
    def fell_behind(self) -> int:
        """How many of its runs did not keep up with their timetable."""
        return sum(map(fell_behind, self.runs))


@dataclass(frozen=True, slots=True)
class Scenario:
    """All groups of a scenario, ordered by load, variant and subject.

    Attributes:
        name: its name.
        groups: at least one.
        varied: the names in which variants differ, in the order in which they are first met.
        common: what all variants have alike.
        subjects: in the order in which they are first met, `pipeline` before its peers.
    """

    name: str
    groups: tuple[Group, ...]
    varied: tuple[str, ...]
    common: Variant
    subjects: tuple[str, ...]

    @property
    def runs(self) -> Iterator[Run]:
        """All runs of it."""
        for group in self.groups:
            yield from group.runs

    def loaded(self, load: Load) -> tuple[Group, ...]:
        """The groups of one load."""
        return tuple(group for group in self.groups if group.load == load)

    def peers(self, group: Group) -> Iterator[Group]:
        """The groups of other subjects at the same load and variant."""
        for other in self.groups:
            if _alike(other) == _alike(group) and other.subject != group.subject:
                yield other


def fell_behind(run: Run) -> bool:
    """Whether more waited at the timetable's end than can be called under way.

    That is more than a second's worth of events, or a tenth of all if that is less.
    """
    if run.offered_per_second is None:
        return False
    return run.backlog > min(run.offered_per_second, run.sent / 10)


def scenarios(runs: Iterable[Run]) -> tuple[Scenario, ...]:
    """All runs by scenario, in the order in which scenarios are first met."""
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.scenario, []).append(run)
    return tuple(_scenario(name, found) for name, found in by_name.items())


def spread(values: Iterable[float | None]) -> Spread | None:
    """Median, lowest and highest of the values that are there; None if there are none."""
    found = [value for value in values if value is not None]
    if not found:
        return None
    return Spread(median(found), min(found), max(found), len(found))


def ratio(top: Group, bottom: Group, figure: Figure) -> Ratio | None:
    """What `top` has of a figure over what `bottom` has, run by run where they are side by side.

    Returns:
        None where one of them lacks the figure, or has 0 below.
    """
    above, below = _by_repeat(top, figure), _by_repeat(bottom, figure)
    paired = [above[repeat] / below[repeat] for repeat in above if below.get(repeat)]
    found = spread(paired)
    if found is not None:
        return Ratio(found, len(paired))
    if not above or not below or not median(below.values()):
        return None
    alone = median(above.values()) / median(below.values())
    return Ratio(Spread(alone, alone, alone, 0), 0)


def compared_figures(comparisons: Iterable[Comparison]) -> list[tuple[str, Compared]]:
    """Every figure with the name of its comparison; those that differ come first."""
    found = [(comparison.name, one) for comparison in comparisons for one in comparison.figures]
    return sorted(found, key=lambda one: one[1].answer != Answer.DIFFERENT)


def axis(groups: Sequence[Group], varied: Iterable[str]) -> str | None:
    """The name of the variant's numbers that the groups go along; None if there is none.

    Of several that with the most values, and of those the first.
    """
    values = {name: {_number(group.variant.get(name)) for group in groups} for name in varied}
    fit = [name for name, found in values.items() if None not in found and len(found) > 1]
    return max(fit, key=lambda name: len(values[name]), default=None)


def along(groups: Sequence[Group], name: str) -> list[list[Group]]:
    """Groups that differ in nothing but one name, and what goes in step with it, ordered by it."""
    named = [group for group in groups if name in group.variant]
    without = {name, *in_step(named, name)}
    lines: dict[object, list[Group]] = {}
    for group in named:
        lines.setdefault((group.subject, _alike(group, without=without)), []).append(group)
    return [sorted(line, key=lambda group: _rank(group.variant[name])) for line in lines.values()]


def in_step(groups: Sequence[Group], name: str) -> set[str]:
    """Other names of the variants that differ wherever this one does, and nowhere else."""
    others = {other for group in groups for other in group.variant if other != name}
    pairs = {
        other: {(_rank(g.variant[name]), _rank(g.variant.get(other, ""))) for g in groups}
        for other in others
    }
    values = {_rank(group.variant[name]) for group in groups}
    return {
        other
        for other, found in pairs.items()
        if len(found) == len(values) == len({value for _, value in found}) > 1
    }


def position(group: Group, name: str) -> float:
    """Where a group stands along an axis."""
    return _number(group.variant.get(name)) or 0.0


def is_switch(groups: Iterable[Group], name: str) -> bool:
    """Whether a variant's name is something that is on or off."""
    values = [group.variant[name] for group in groups if name in group.variant]
    return len({switched(value) for value in values} - {None}) == len(("on", "off")) and all(
        switched(value) is not None for value in values
    )


def switched(value: Value) -> bool | None:
    """On, off, or None for what is neither."""
    if isinstance(value, bool):
        return value
    return True if value in ON else False if value in OFF else None


def _scenario(name: str, runs: Sequence[Run]) -> Scenario:
    together: dict[object, list[Run]] = {}
    for run in runs:
        together.setdefault((run.subject, run.load, _key(run.variant)), []).append(run)
    subjects = sorted(dict.fromkeys(run.subject for run in runs), key=lambda name: name != PIPELINE)
    names = tuple(dict.fromkeys(name for run in runs for name in run.variant))
    varied = tuple(name for name in names if len({_said(run, name) for run in runs}) > 1)
    groups = [
        Group(first.subject, first.load, first.variant, tuple(found))
        for found in together.values()
        for first in found[:1]
    ]
    groups.sort(
        key=lambda group: (
            group.load,
            [_rank(group.variant.get(name, "")) for name in varied],
            subjects.index(group.subject),
        )
    )
    common = {name: runs[0].variant[name] for name in names if name not in varied}
    return Scenario(name, tuple(groups), varied, common, tuple(subjects))


def _by_repeat(group: Group, figure: Figure) -> dict[int, float]:
    values: dict[int, list[float]] = {}
    for run in group.runs:
        value = figure.read(run)
        if value is not None:
            values.setdefault(run.repeat, []).append(value)
    return {repeat: median(found) for repeat, found in values.items()}


def _alike(group: Group, *, without: Collection[str] = ()) -> tuple[Load, object]:
    return group.load, _key({k: v for k, v in group.variant.items() if k not in without})


def _key(variant: Variant) -> object:
    return tuple(sorted((name, _rank(value)) for name, value in variant.items()))


def _said(run: Run, name: str) -> object:
    return _rank(run.variant[name]) if name in run.variant else None


def _rank(value: Value) -> tuple[int, float, str]:
    """An order of values of any kind, in which a switch is no number."""
    if isinstance(value, bool):
        return 0, value, ""
    return (2, 0.0, value) if isinstance(value, str) else (1, value, "")


def _number(value: Value | None) -> float | None:
    if value is None or isinstance(value, bool | str):
        return None
    return float(value)
