"""Making the runs of scenarios, side by side: all variants once, then all of them again.

Machines are noisy, and noise lasts: what is to be compared is made in turn, each round in
another order, so that ratios within a round tell more than any figure alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.results import Run
from benchmarks.scenarios import Labels, Scenario
from benchmarks.selecting import Selection
from benchmarks.spec import Spec
from benchmarks.workload import FLIGHTS


@dataclass(frozen=True)
class Step:
    """One run that is to be made.

    Attributes:
        scenario: of which scenario.
        labels: what it differs in from the others.
        spec: what kind of run.
        repeat: 1 for the first round.
    """

    scenario: Scenario
    labels: Labels
    spec: Spec
    repeat: int

    def __str__(self) -> str:
        of = ", ".join(f"{name} {value}" for name, value in self.labels.items())
        return f"{self.scenario.name} {self.repeat}{f': {of}' if of else ''}"


EVERY_RUN: Final = Selection()


def steps(
    scenarios: Sequence[Scenario],
    *,
    repeat: int,
    events: int | None,
    data: Path | None = None,
    only: Selection = EVERY_RUN,
) -> list[Step]:
    """The runs of these scenarios, in the order in which they are made.

    Args:
        scenarios: one after the other.
        repeat: rounds of each; every other one goes backwards.
        events: of each run; as the scenario says unless given.
        data: a file of events to send instead of flights; the runs say so.
        only: those of the runs that are made.
    """
    return [
        Step(scenario, *_sending(data, scenario, labels, spec), number)
        for scenario in scenarios
        for number in range(1, repeat + 1)
        for labels, spec in _in_turn(scenario.variants(events or scenario.events), number)
        if only.takes(labels, spec)
    ]


def takes(scenario: Scenario, spec: Spec) -> bool:
    """Whether a run can be made with other events: those that are made up say what they are for."""
    return not scenario.own_events and spec.workload.source == FLIGHTS


def _sending(
    data: Path | None, scenario: Scenario, labels: Labels, spec: Spec
) -> tuple[Labels, Spec]:
    if data is None or not takes(scenario, spec):
        return labels, spec
    workload = spec.workload.model_copy(update={"source": str(data)})
    return labels | {"data": data.name}, spec.model_copy(update={"workload": workload})


def _in_turn(variants: Sequence[tuple[Labels, Spec]], number: int) -> Sequence[tuple[Labels, Spec]]:
    # Whoever is first finds the machine in another state than whoever is last.
    return variants if number % 2 else variants[::-1]


def make(
    bench: Bench, todo: Sequence[Step], told: Callable[[Step, str, int], None]
) -> Iterator[Run]:
    """Make the runs, one by one.

    Args:
        bench: where.
        todo: what to make.
        told: of the progress, with the step that is under way.
    """
    for step in todo:

        def tell(what: str, events: int, step: Step = step) -> None:
            told(step, what, events)

        found = step.scenario.measure(bench, step.spec, tell)
        yield Run(scenario=step.scenario.name, variant=step.labels, repeat=step.repeat, **found)
