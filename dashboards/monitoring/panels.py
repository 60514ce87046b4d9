"""Every panel: one question, its query, its unit, and the page of the console to act on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SELECT: Final = 'job=~"$job",instance=~"$instance"'
"""Every series is of the chosen jobs and instances; `$s` in a query stands for this."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        means: what one reads from it, in a sentence.
        unit: Grafana's name of the unit.
        queries: query and legend of each line; `$s` selects jobs and instances.
        kind: timeseries, stat, heatmap or table.
        console: the page of the console to go on at.
    """

    title: str
    means: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    console: str = "/ops/"


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: a question, and rows of panels that answer it."""

    uid: str
    title: str
    means: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def quantiles(name: str, by: str = "") -> tuple[tuple[str, str], ...]:
    """Half, 95 and 99 of 100; with a label to tell apart, 95 of 100 alone."""
    if by:
        query = (
            f"histogram_quantile(0.95, sum by ({by}, le) (rate({name}_bucket{{$s}}"
            "[$__rate_interval])))"
        )
        return ((query, f"{{{{{by}}}}}"),)
    return tuple(
        (
            f"histogram_quantile({q}, sum by (le) (rate({name}_bucket{{$s}}[$__rate_interval])))",
            f"p{q * 100:g}",
        )
        for q in (0.5, 0.95, 0.99)
    )


def rate(name: str, by: str, where: str = "") -> tuple[tuple[str, str], ...]:
    """How many a second, told apart by a label or two."""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    chosen = f"$s,{where}" if where else "$s"
    return ((f"sum by ({by}) (rate({name}{{{chosen}}}[$__rate_interval]))", legend),)


def now(name: str, by: str, where: str = "", how: str = "sum") -> tuple[tuple[str, str], ...]:
    """How it stands now, told apart by a label or two."""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    chosen = f"$s,{where}" if where else "$s"
    return ((f"{how} by ({by}) ({name}{{{chosen}}})", legend),)


def or_none(query: str, by: str) -> tuple[tuple[str, str], ...]:
    """The series of a query, told apart by a label or two; where there are none, 0 named `none`.

    `on()` keeps the 0 away from them: with `or` alone it would stand beside them without a name.
    """
    labels = [label.strip() for label in by.split(",")]
    zero = "vector(0)"
    for label in labels:
        zero = f'label_replace({zero}, "{label}", "none", "", "")'
    return ((f"{query} or on() {zero}", " ".join(f"{{{{{label}}}}}" for label in labels)),)
