"""How numbers, variants and ranges are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from benchmarks.reporting.summary import Group, Ratio, Scenario, Spread, Variant
from benchmarks.results import Value

SECOND: Final = 1000
LONGEST: Final = 80
NONE: Final = "-"


def number(value: float) -> str:
    """About three digits, and all before the point."""
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 100:  # noqa: PLR2004 - three digits before the point are enough of them
        return f"{value:,.0f}"
    if size >= 10:  # noqa: PLR2004 - as above, two
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:#.3g}"


def duration(milliseconds: float) -> str:
    """Milliseconds, or seconds where those are many."""
    if milliseconds < SECOND:
        return f"{number(milliseconds)} ms"
    return f"{number(milliseconds / SECOND)} s"


def span(spread: Spread) -> str:
    """From the lowest to the highest."""
    return f"{number(spread.low)} to {number(spread.high)}"


def certainty(ratio: Ratio) -> str:
    """How far runs agree on a ratio, in words for a bracket."""
    if ratio.pairs == 0:
        return "runs that were not side by side, no interval"
    if ratio.pairs == 1:
        return "one run only, no interval"
    return f"{span(ratio.spread)}, {ratio.pairs} pairs of runs"


def over(counted: int, what: str) -> str:
    """So many of something, in the singular or the plural."""
    return f"{counted:,} {what}" if counted == 1 else f"{counted:,} {what}s"


def listed(words: Iterable[str]) -> str:
    """Words with commas, and `and` before the last."""
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last


def value(found: Value | None) -> str:
    """A value of a variant or setting."""
    if found is None:
        return NONE
    if isinstance(found, bool):
        return "on" if found else "off"
    if isinstance(found, str):
        return short(found)
    return f"{found:,}" if isinstance(found, int) else f"{found:,.6g}"


def settings(variant: Variant) -> str:
    """Names with their values."""
    return ", ".join(f"{short(name)} {value(found)}" for name, found in variant.items())


def variant(scenario: Scenario, group: Group, *, without: str = "") -> str:
    """In what a group differs from the scenario's others, subjects apart; empty if in nothing."""
    names = [name for name in scenario.varied if name in group.variant and name != without]
    return settings({name: group.variant[name] for name in names})


def label(scenario: Scenario, group: Group, *, without: str = "") -> str:
    """A group's name beside the others of its scenario."""
    told = variant(scenario, group, without=without)
    if len(scenario.subjects) == 1 and told:
        return told
    return f"{short(group.subject)}, {told}" if told else short(group.subject)


def short(text: str) -> str:
    """Text in one line, and no longer than a table bears."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
