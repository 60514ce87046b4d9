"""The page: a result in one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.comparing import Comparison
from benchmarks.reporting import numbers
from benchmarks.reporting.charts import Chart, charts, compared, described
from benchmarks.reporting.plots import drawn
from benchmarks.reporting.summary import Scenario, scenarios
from benchmarks.reporting.tables import Table, comparison, environment, tables
from benchmarks.reporting.words import conclusion, question
from benchmarks.results import Result

NOTES: Final = 50
"""Notes of a scenario, each once; the raw figures have the rest."""
SIGNS: Final = {"good": "✓", "bad": "✗", "caution": "!", "plain": "•"}
TEMPLATES: Final = Templates(
    loader=PackageLoader("benchmarks.reporting"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
IN_SCRIPTS: Final = str.maketrans(
    {sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"},
)
"""Signs that could end a script element or begin a comment in it, as JSON may write them too."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn chart with its caption."""

    caption: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Section:
    """A scenario as it is shown."""

    anchor: str
    name: str
    question: str
    alike: str
    plots: tuple[Plot, ...]
    tables: tuple[Table, ...]
    notes: tuple[tuple[str, str], ...]
    notes_left_out: int


def page(
    result: Result,
    *,
    guarantees: Mapping[str, Sequence[str]] | None = None,
    comparisons: Sequence[Comparison] = (),
    questions: Mapping[str, str] | None = None,
) -> str:
    """A result as one HTML file, the same for the same arguments.

    Args:
        result: what was measured.
        guarantees: by subject, what it promises, a sentence each.
        comparisons: with an earlier result, as `benchmarks.comparing.compare_results` gives them;
            this one is their A.
        questions: by scenario, what it asks; without one it is told from what its runs differ in.
    """
    found = scenarios(result.runs)
    questions = questions or {}
    script = TEMPLATES.get_template("download.js").render()
    against = compared(comparisons)
    return TEMPLATES.get_template("report.html.j2").render(
        result=result,
        topics=conclusion(found, result.environment, comparisons),
        sections=[
            _section(scenario, number, questions.get(scenario.name) or question(scenario))
            for number, scenario in enumerate(found)
        ],
        comparison=comparison(comparisons),
        compared=None if against is None else _plot(against, "compared"),
        environment=environment(result.environment),
        guarantees=_guarantees(found, guarantees or {}),
        raw=Markup(result.model_dump_json().translate(IN_SCRIPTS)),  # noqa: S704 - escaped here
        script=Markup(script),  # noqa: S704 - a file of ours
        policy=_policy(script),
        signs=SIGNS,
        number=numbers.number,
    )


def _section(scenario: Scenario, place: int, asked: str) -> Section:
    notes = list(dict.fromkeys(_notes(scenario)))
    workers = sorted({run.workers for run in scenario.runs})
    alike = [numbers.settings(scenario.common)] if scenario.common else []
    if len(workers) == 1 and "workers" not in scenario.common:
        alike.append(numbers.over(workers[0], "worker"))
    alike.append(numbers.over(sum(1 for _ in scenario.runs), "run"))
    return Section(
        anchor=f"scenario-{place + 1}",
        name=scenario.name,
        question=asked,
        alike=", ".join(alike),
        plots=tuple(
            _plot(chart, f"plot{place + 1}{letter}")
            for letter, chart in zip("abcdef", charts(scenario), strict=False)
        ),
        tables=tuple(tables(scenario)),
        notes=tuple(notes[:NOTES]),
        notes_left_out=max(0, len(notes) - NOTES),
    )


def _plot(chart: Chart, name: str) -> Plot:
    svg = drawn(chart, name, described(chart))
    return Plot(chart.title, Markup(svg))  # noqa: S704 - matplotlib escapes what it writes


def _notes(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """What the runs tell the reader, and their settings, by whom it is of."""
    for group in scenario.groups:
        who = numbers.label(scenario, group)
        for run in group.runs:
            for note in run.notes:
                yield who, note
            if run.settings:
                yield who, f"Settings that are not the defaults: {numbers.settings(run.settings)}."


def _guarantees(
    found: Sequence[Scenario], guarantees: Mapping[str, Sequence[str]]
) -> list[tuple[str, Sequence[str]]]:
    """Of all that were run, and of all others that something is told of."""
    if not guarantees:
        return []
    subjects = dict.fromkeys(name for scenario in found for name in scenario.subjects)
    return [(name, guarantees.get(name, ())) for name in {**subjects, **dict.fromkeys(guarantees)}]


def _policy(script: str) -> str:
    """What a browser lets the page do: nothing but its own style and its one script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        f"base-uri 'none'; form-action 'none'"
    )
