"""The conclusion: what all runs together come to, most pressing first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from benchmarks.comparing import Answer, Comparison
from benchmarks.reporting import findings
from benchmarks.reporting.beside import against_peers
from benchmarks.reporting.figures import END_TO_END
from benchmarks.reporting.findings import Sentence, Tone
from benchmarks.reporting.numbers import listed, number, over, short
from benchmarks.reporting.summary import Scenario, axis
from benchmarks.results import PIPELINE, Environment, Load

AT_MOST: Final = 40
"""Sentences of a topic; the tables have the rest."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Sentences under one heading, and how many more there would be."""

    title: str
    sentences: tuple[Sentence, ...]
    left_out: int = 0


def conclusion(
    scenarios: Sequence[Scenario], environment: Environment, comparisons: Sequence[Comparison] = ()
) -> list[Topic]:
    """All that can be said of the runs, by topic; topics of which there is nothing are left out."""
    topics = [
        ("Lost, doubled, wrong or given up", _troubles(scenarios)),
        ("What the scenarios ask for", _asked_for(scenarios)),
        ("This result (A) against the earlier one (B)", _compared(comparisons)),
        ("Against its peers", _told(scenarios, against_peers)),
        ("How the rate goes with workers and load", _told(scenarios, findings.growth)),
        ("Latency of single events", _told(scenarios, findings.latency)),
        ("What else was measured", _told(scenarios, findings.measured_besides)),
        ("What can be switched on, and its price", _told(scenarios, findings.switches)),
        ("How sure this is", _sureness(scenarios, environment)),
    ]
    return [topic for title, sentences in topics if (topic := _topic(title, sentences)).sentences]


def question(scenario: Scenario) -> str:
    """What a scenario asks, from what differs between its runs."""
    named = listed(map(short, scenario.varied)) if scenario.varied else ""
    if any(run.figures for run in scenario.runs):
        return f"What comes of it, by {named}?" if named else "What comes of it?"
    asked = []
    for load, what in (
        (Load.BULK, "How many events a second are worked off"),
        (Load.OPEN, "How long does a single event take"),
    ):
        groups = scenario.loaded(load)
        if not groups:
            continue
        along = axis(groups, scenario.varied)
        names = [along] if along else []
        names += [name for name in scenario.varied if name not in names]
        subjects = {group.subject for group in groups}
        told = f"{what}, by {listed(map(short, names))}" if names else what
        if len(subjects) > 1:
            told += f", beside {listed(short(name) for name in scenario.subjects[1:])}"
        asked.append(f"{told}?")
    return " ".join(asked)


def _topic(title: str, sentences: Iterable[Sentence]) -> Topic:
    told = iter(sentences)
    first = tuple(islice(told, AT_MOST))
    return Topic(title, first, sum(1 for _ in told))


def _told(
    scenarios: Iterable[Scenario], tell: Callable[[Scenario], Iterator[Sentence]]
) -> Iterator[Sentence]:
    return chain.from_iterable(map(tell, scenarios))


def _troubles(scenarios: Sequence[Scenario]) -> Iterator[Sentence]:
    yield from _told(scenarios, findings.troubles)
    runs = [run.reliability for scenario in scenarios for run in scenario.runs]
    seen = sum(found.lost is not None and found.doubled is not None for found in runs)
    if not runs:
        return
    if not seen:
        yield Sentence(Tone.CAUTION, "No run can tell whether events were lost or doubled.")
    elif not any(found.lost or found.doubled or found.wrong for found in runs):
        of_all = "" if seen == len(runs) else f"{seen:,} of "
        others = "; the others can't tell" if of_all else ""
        yield Sentence(
            Tone.GOOD,
            f"No event was lost and none had its effect twice in {of_all}"
            f"{over(len(runs), 'run')}{others}.",
        )


def _asked_for(scenarios: Sequence[Scenario]) -> Iterator[Sentence]:
    """What was missed, then what was met."""
    told = list(_told(scenarios, findings.asked_for))
    yield from sorted(told, key=lambda sentence: sentence.tone != Tone.BAD)


def _compared(comparisons: Sequence[Comparison]) -> Iterator[Sentence]:
    """Why the two may not compare, then what differs, then how much does not."""
    warnings = dict.fromkeys(warning for found in comparisons for warning in found.warnings)
    if warnings:
        yield Sentence(Tone.CAUTION, f"The two may not compare: {'; '.join(warnings)}.")
    answers = [one.answer for found in comparisons for one in found.figures]
    for found in comparisons:
        for one in found.figures:
            if one.answer == Answer.DIFFERENT:
                yield Sentence(Tone.PLAIN, f"{short(found.name)}: {short(one.figure)}: {one.words}")
    for answer in (Answer.SAME, Answer.TOO_FEW):
        if count := answers.count(answer):
            yield Sentence(Tone.PLAIN, f"{over(count, 'figure')}: {answer}.")


def _sureness(scenarios: Sequence[Scenario], environment: Environment) -> Iterator[Sentence]:
    alone = [
        short(scenario.name)
        for scenario in scenarios
        if any(len(group.runs) == 1 for group in scenario.groups)
    ]
    if not scenarios:
        yield Sentence(Tone.CAUTION, "There are no runs, so nothing can be said.")
        return
    yield Sentence(
        Tone.PLAIN,
        "Brackets give the lowest and the highest of the runs, which is no confidence interval; "
        "only a comparison with an earlier result has those.",
    )
    if alone:
        yield Sentence(
            Tone.CAUTION,
            f"One run only, no interval, for all or some of {listed(alone)}: what differs there "
            f"may be chance.",
        )
    if all(name == PIPELINE for scenario in scenarios for name in scenario.subjects):
        yield Sentence(Tone.PLAIN, "No peer was run beside it, so there are no ratios to peers.")
    if any(
        END_TO_END["p99"].read(run) is not None and run.load == Load.BULK
        for scenario in scenarios
        for run in scenario.runs
    ):
        yield Sentence(
            Tone.PLAIN,
            "Under a bulk load events are sent as fast as they are taken, so their latency is "
            "mostly waiting in line.",
        )
    if environment.load_before > environment.cores / 2:
        yield Sentence(
            Tone.CAUTION,
            f"The machine was busy before the first run: a load of "
            f"{number(environment.load_before)} on {over(environment.cores, 'core')}. Ratios of "
            f"runs side by side mean more than rates.",
        )
    if environment.revision is None:
        yield Sentence(Tone.CAUTION, "The revision of the sources is not known.")
    elif environment.revision.endswith("+"):
        yield Sentence(
            Tone.CAUTION,
            f"The sources differ from revision {short(environment.revision[:-1])}, so it can't be "
            f"run again as it was.",
        )
