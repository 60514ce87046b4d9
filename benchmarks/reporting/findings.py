"""What the figures of a scenario say, in sentences; nothing that its runs don't show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from benchmarks.reporting.figures import BACKLOG, CPU, END_TO_END, PER_SECOND, Figure
from benchmarks.reporting.numbers import (
    certainty,
    duration,
    label,
    listed,
    number,
    over,
    short,
    value,
)
from benchmarks.reporting.summary import (
    WORKERS,
    Group,
    Ratio,
    Scenario,
    along,
    axis,
    is_switch,
    position,
    ratio,
    switched,
)
from benchmarks.results import PIPELINE, Load


class Tone(StrEnum):
    """How a sentence is meant."""

    GOOD = "good"
    BAD = "bad"
    CAUTION = "caution"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, and how it is meant; its words say so too."""

    tone: Tone
    text: str


def missed(scenario: Scenario) -> Iterator[Sentence]:
    """Groups that are not as the scenario asks for."""
    for group in scenario.groups:
        judged = [run.passed for run in group.runs if run.passed is not None]
        if False in judged:
            yield Sentence(
                Tone.BAD,
                f"{short(scenario.name)}: {label(scenario, group)} missed what the scenario asks "
                f"for in {judged.count(False)} of {over(len(judged), 'run')}.",
            )


def troubles(scenario: Scenario) -> Iterator[Sentence]:
    """Groups with events that were lost or doubled, or given up."""
    for group in scenario.groups:
        who = f"{short(scenario.name)}: {label(scenario, group)}"
        runs = over(len(group.runs), "run")
        wrong = [
            f"{over(found, 'event')} {words}"
            for words in ("lost", "doubled")
            if (found := counted(group, words))
        ]
        if wrong:
            yield Sentence(Tone.BAD, f"{who} has {listed(wrong)} in {runs}.")
        if dead := counted(group, "dead"):
            yield Sentence(Tone.CAUTION, f"{who} gave {over(dead, 'event')} up in {runs}.")


def counted(group: Group, name: str) -> int | None:
    """What went wrong in all runs of a group; None if none can tell."""
    told = [getattr(run.reliability, name) for run in group.runs]
    known: list[int] = [count for count in told if count is not None]
    return sum(known) if known else None


def against_peers(scenario: Scenario) -> Iterator[Sentence]:
    """This project's groups and each peer's of the same variant: how many times as fast."""
    for group in scenario.groups:
        if group.subject != PIPELINE:
            continue
        for peer in scenario.peers(group):
            if group.load == Load.BULK:
                yield from _faster(scenario, group, peer)
            else:
                yield from _sooner(scenario, group, peer)


def growth(scenario: Scenario) -> Iterator[Sentence]:
    """How the rate of bulk loads goes with the numbers that variants differ in."""
    groups = scenario.loaded(Load.BULK)
    name = axis(groups, scenario.varied)
    if name is None:
        return
    for line in along(groups, name):
        rates = [group.spread(PER_SECOND) for group in line]
        found = ratio(line[-1], line[0], PER_SECOND)
        if len(line) > 1 and found is not None:
            told = listed(number(rate.median) for rate in rates if rate)
            where = listed(value(group.variant[name]) for group in line)
            text = (
                f"{_at(scenario, line[0], without=name)}with {short(name)} at {where}, "
                f"{short(line[0].subject)} works off {told} events a second (medians). "
                f"{_first_to_last(line, name, found)}{_peak(line, name)}"
            )
            yield Sentence(Tone.PLAIN, text)


def latency(scenario: Scenario) -> Iterator[Sentence]:
    """How long events take at each rate of open loads, and whether a line grew."""
    for group in scenario.loaded(Load.OPEN):
        p50, p99 = group.spread(END_TO_END["p50"]), group.spread(END_TO_END["p99"])
        backlog = group.spread(BACKLOG)
        rate = "" if group.offered is None else f" at {number(group.offered)} events a second"
        where = _at(scenario, group, but=group.offered)
        who = f"{where}{short(group.subject)}{rate}"
        runs = (
            "one run only, no interval"
            if len(group.runs) == 1
            else f"medians of {len(group.runs)} runs"
        )
        took = "no latency was measured"
        if p50 is not None and p99 is not None:
            took = (
                f"half of the events took at most {duration(p50.median)} and 99% at most "
                f"{duration(p99.median)} ({runs})"
            )
        waited = 0 if backlog is None else round(backlog.high)
        if group.fell_behind:
            yield Sentence(
                Tone.BAD,
                f"{who} did not keep up in {group.fell_behind} of "
                f"{over(len(group.runs), 'run')}: up to {over(waited, 'event')} still waited when "
                f"the last one had been sent; {took}.",
            )
        else:
            yield Sentence(
                Tone.PLAIN,
                f"{who}: {took}. No backlog grew: at most {over(waited, 'event')} still waited "
                f"when the last one had been sent.",
            )


def switches(scenario: Scenario) -> Iterator[Sentence]:
    """What it costs to have something on that can be off."""
    for name in scenario.varied:
        if not is_switch(scenario.groups, name):
            continue
        for off, on in (pair for line in along(scenario.groups, name) for pair in pairwise(line)):
            if switched(off.variant[name]):
                off, on = on, off  # noqa: PLW2901 - `off` comes after `on` where both are words
            figure = PER_SECOND if on.load == Load.BULK else END_TO_END["p99"]
            found = ratio(on, off, figure)
            if found is not None:
                yield _cost(scenario, name, on, found, ratio(on, off, CPU))


def _faster(scenario: Scenario, group: Group, peer: Group) -> Iterator[Sentence]:
    found, where = _more(group, peer, PER_SECOND), _at(scenario, group)
    if found is None:
        return
    more, less, times = found
    if times.told_apart:
        yield Sentence(
            Tone.PLAIN,
            f"{where}{short(more.subject)} works off {number(times.spread.median)} times as many "
            f"events a second as {short(less.subject)} ({certainty(times)}"
            f"{_workers(more, less)}).",
        )
    else:
        yield Sentence(
            Tone.PLAIN,
            f"{where}{short(group.subject)} and {short(peer.subject)} are not told apart by their "
            f"rate ({certainty(times)}{_workers(group, peer)}).",
        )


def _sooner(scenario: Scenario, group: Group, peer: Group) -> Iterator[Sentence]:
    found, where = _more(group, peer, END_TO_END["p99"]), _at(scenario, group)
    if found is None:
        return
    slow, quick, times = found
    behind = [short(each.subject) for each in (group, peer) if each.fell_behind]
    caution = f" Mind that {listed(behind)} did not keep up." if behind else ""
    if times.told_apart:
        yield Sentence(
            Tone.PLAIN,
            f"{where}the time within which 99% of events are done is "
            f"{number(times.spread.median)} times as long with {short(slow.subject)} as with "
            f"{short(quick.subject)} ({certainty(times)}).{caution}",
        )
    else:
        yield Sentence(
            Tone.PLAIN,
            f"{where}{short(group.subject)} and {short(peer.subject)} are not told apart by the "
            f"time within which 99% of events are done ({certainty(times)}).{caution}",
        )


def _more(group: Group, peer: Group, figure: Figure) -> tuple[Group, Group, Ratio] | None:
    """Who has more of a figure, who has less, and how many times as much."""
    for more, less in ((group, peer), (peer, group)):
        found = ratio(more, less, figure)
        if found is not None and found.spread.median >= 1:
            return more, less, found
    return None


def _first_to_last(line: list[Group], name: str, found: Ratio) -> str:
    first, last = (value(group.variant[name]) for group in (line[0], line[-1]))
    if not found.told_apart:
        return (
            f"Between {first} and {last} no difference shows: {number(found.spread.median)} "
            f"times ({certainty(found)})."
        )
    told = f"{number(found.spread.median)} times as many at {last} as at {first}"
    many = position(line[-1], name) / (position(line[0], name) or 1)
    share = ""
    if name == WORKERS and position(line[0], name):
        share = f", where {number(many)} times would be perfect"
    return f"That is {told}{share} ({certainty(found)})."


def _peak(line: list[Group], name: str) -> str:
    rates = [(found.median, group) for group in line if (found := group.spread(PER_SECOND))]
    best = max(rates, key=lambda rate: rate[0])[1]
    if best in (line[0], line[-1]):
        return ""
    return f" The highest rate is at {value(best.variant[name])}."


def _cost(scenario: Scenario, name: str, on: Group, rate: Ratio, cpu: Ratio | None) -> Sentence:
    what = (
        "times the rate"
        if on.load == Load.BULK
        else "times as long until 99% of the events are done"
    )
    where = _at(scenario, on, without=name)
    told = f"{where}{short(on.subject)} with {short(name)} on, against off: "
    if not rate.told_apart:
        told += f"no difference shows, {number(rate.spread.median)} {what} ({certainty(rate)})"
    else:
        told += f"{number(rate.spread.median)} {what} ({certainty(rate)})"
    if cpu is not None:
        told += f"; {number(cpu.spread.median)} times the CPU time an event ({certainty(cpu)})"
    return Sentence(Tone.PLAIN, f"{told}.")


def _workers(group: Group, peer: Group) -> str:
    if group.workers == peer.workers:
        return ""
    first, second = (f"{short(one.subject)} with {one.workers}" for one in (group, peer))
    return f"; workers: {first}, {second}"


def _at(
    scenario: Scenario, group: Group, *, without: str = "", but: float | None = None
) -> str:
    """Where a sentence is about: the scenario, and the variant but for what is told anyway."""
    names = [name for name in scenario.varied if name != without and name in group.variant]
    if but is not None:
        names = [name for name in names if group.variant[name] != but]
    parts = [f"{short(name)} {value(group.variant[name])}" for name in names]
    return ", ".join([short(scenario.name), *parts]) + ": "
