"""What the figures of a scenario say, in sentences; nothing that its runs don't show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from benchmarks.reporting.figures import BACKLOG, CPU, END_TO_END, PER_SECOND, measured
from benchmarks.reporting.numbers import (
    certainty,
    duration,
    label,
    listed,
    number,
    over,
    short,
    span,
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
from benchmarks.results import Load, Run


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


def asked_for(scenario: Scenario) -> Iterator[Sentence]:
    """Whether a scenario's runs are as it asks for, and what they missed."""
    judged = [run for run in scenario.runs if run.passed is not None]
    failed = [run for run in judged if not run.passed]
    if not judged:
        return
    name = short(scenario.name)
    if not failed:
        yield Sentence(Tone.GOOD, f"{name} met what it asks for, in {over(len(judged), 'run')}.")
        return
    told = "; ".join(_missed(scenario, group) for group in scenario.groups if _failed(group))
    yield Sentence(
        Tone.BAD,
        f"{name} missed what it asks for, in {len(failed)} of {over(len(judged), 'run')}"
        f"{f': {told}' if told else ''}.",
    )


def _missed(scenario: Scenario, group: Group) -> str:
    """What a group missed; among several which it is, and how many of its runs if not all."""
    failed = _failed(group)
    why = "; ".join(dict.fromkeys(short(words) for run in failed for words in run.missed))
    if len(scenario.groups) == 1:
        return why
    share = "" if len(failed) == len(group.runs) else f", {len(failed)} of {len(group.runs)} runs"
    return f"{label(scenario, group)}{share}{f' ({why})' if why else ''}"


def _failed(group: Group) -> list[Run]:
    return [run for run in group.runs if run.passed is False]


def measured_besides(scenario: Scenario) -> Iterator[Sentence]:
    """What runs measured that is neither rate nor latency."""
    for group in scenario.groups:
        told = []
        for name in dict.fromkeys(name for run in group.runs for name in run.figures):
            found = group.spread(measured(name))
            if found is not None:
                sure = span(found) if found.runs > 1 else "one run only, no interval"
                told.append(f"{short(name)} {number(found.median)} ({sure})")
        if told:
            who = label(scenario, group)
            yield Sentence(Tone.PLAIN, f"{short(scenario.name)}, {who}: {', '.join(told)}.")


def troubles(scenario: Scenario) -> Iterator[Sentence]:
    """Groups with events lost, doubled or given up, or with wrong documents."""
    for group in scenario.groups:
        who = f"{short(scenario.name)}: {label(scenario, group)}"
        runs = over(len(group.runs), "run")
        wrong = [
            f"{over(found, 'event')} {words}"
            for words in ("lost", "doubled")
            if (found := counted(group, words))
        ]
        if spoilt := counted(group, "wrong"):
            wrong.append(f"{over(spoilt, 'document')} wrong")
        if wrong:
            yield Sentence(Tone.BAD, f"{who} has {listed(wrong)} in {runs}.")
        dead, doomed = counted(group, "dead"), counted(group, "doomed") or 0
        if dead:
            meant = f", and {doomed:,} could not succeed" if doomed else ""
            tone = Tone.PLAIN if dead == doomed else Tone.CAUTION
            yield Sentence(tone, f"{who} gave {over(dead, 'event')} up in {runs}{meant}.")


def counted(group: Group, name: str) -> int | None:
    """What went wrong in all runs of a group; None if none can tell."""
    told = [getattr(run.reliability, name) for run in group.runs]
    known: list[int] = [count for count in told if count is not None]
    return sum(known) if known else None


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
                f"{at(scenario, line[0], without=name)}with {short(name)} at {where}, "
                f"{short(line[0].subject)} works off {told} events a second (medians). "
                f"{_first_to_last(line, name, found)}{_peak(line, name)}"
            )
            yield Sentence(Tone.PLAIN, text)


def latency(scenario: Scenario) -> Iterator[Sentence]:
    """How long events take at each rate of open loads, and whether a line grew."""
    groups = scenario.loaded(Load.OPEN)
    done: list[Group] = []
    for group in groups:
        if group in done:
            continue
        together = [group, *scenario.peers(group)]
        done += together
        kept_up = [each for each in together if not each.fell_behind]
        if kept_up:
            yield _kept_up(scenario, kept_up)
        for each in together:
            if each.fell_behind:
                yield _fell_behind(scenario, each)


def _kept_up(scenario: Scenario, groups: Sequence[Group]) -> Sentence:
    told = "; ".join(f"{short(group.subject)}: {_took(group)}" for group in groups)
    waited = max(round(found.high) for group in groups if (found := group.spread(BACKLOG)))
    return Sentence(
        Tone.PLAIN,
        f"{_when(scenario, groups[0])}{told}. No backlog grew: at most {over(waited, 'event')} "
        f"still waited when the last one had been sent.",
    )


def _fell_behind(scenario: Scenario, group: Group) -> Sentence:
    found = group.spread(BACKLOG)
    waited = 0 if found is None else round(found.high)
    return Sentence(
        Tone.BAD,
        f"{_when(scenario, group)}{short(group.subject)} did not keep up in "
        f"{group.fell_behind} of {over(len(group.runs), 'run')}: up to {over(waited, 'event')} "
        f"still waited when the last one had been sent; {_took(group)}.",
    )


def _took(group: Group) -> str:
    p50, p99 = group.spread(END_TO_END["p50"]), group.spread(END_TO_END["p99"])
    if p50 is None or p99 is None:
        return "no latency was measured"
    runs = "one run only, no interval" if p99.runs == 1 else f"medians of {p99.runs} runs"
    return (
        f"half of the events took at most {duration(p50.median)} and 99% at most "
        f"{duration(p99.median)} ({runs})"
    )


def _when(scenario: Scenario, group: Group) -> str:
    """Where a latency was measured: the offered rate always, what else differs after it."""
    where = at(scenario, group, but=group.offered).removesuffix(": ")
    return where + ("" if group.offered is None else f", {value(group.offered)} a second") + ": "


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
        share = f", where {value(many)} times would be perfect"
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
    where = at(scenario, on, without=name)
    told = f"{where}{short(on.subject)} with {short(name)} on, against off: "
    if not rate.told_apart:
        told += f"no difference shows, {number(rate.spread.median)} {what} ({certainty(rate)})"
    else:
        told += f"{number(rate.spread.median)} {what} ({certainty(rate)})"
    if cpu is not None:
        told += f"; {number(cpu.spread.median)} times the CPU time an event ({certainty(cpu)})"
    return Sentence(Tone.PLAIN, f"{told}.")


def at(scenario: Scenario, group: Group, *, without: str = "", but: float | None = None) -> str:
    """Where a sentence is about: the scenario, and the variant but for what is told anyway."""
    names = [name for name in scenario.varied if name != without and name in group.variant]
    if but is not None:
        names = [name for name in names if group.variant[name] != but]
    parts = [f"{short(name)} {value(group.variant[name])}" for name in names]
    return ", ".join([short(scenario.name), *parts]) + ": "
