"""Plots as SVG that stands in a page: its colours are the page's, its text is text."""

from __future__ import annotations

import html
import re
import textwrap
import warnings
from collections.abc import Sequence
from io import StringIO
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.reporting.charts import Bar, Bars, Chart, Dots, Lines, Ratios
from benchmarks.reporting.numbers import number

WIDE: Final = 5.0
"""Inches; 360 units of the drawing, so that its text can be read on a telephone."""
HIGH: Final = 3.0
ROW: Final = 0.34
AROUND: Final = 0.95
LABEL: Final = 22
FLOOR: Final = 0.001
"""Milliseconds below which a logarithmic axis shows nothing."""
FEW: Final = 12
NEAR: Final = 2
WIDE_APART: Final = 100
INK: Final = "#010101"
FAINT: Final = "#010102"
PAGE: Final = "#010103"
COLOURS: Final = tuple(f"#0200{n:02x}" for n in range(8))
VARIABLES: Final = {
    INK: "var(--ink)",
    FAINT: "var(--line)",
    PAGE: "var(--page)",
    **{colour: f"var(--c{n})" for n, colour in enumerate(COLOURS)},
}
"""Colours that are drawn, and what the page's style sheet calls them."""
MARKS: Final = "osD^vPX*"
STYLES: Final = ("-", "--", "-.", ":")
STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}


def drawn(chart: Chart, name: str, description: str) -> str:
    """A chart as an SVG element; the same chart and name give the same text.

    Args:
        chart: with at least one row or line.
        name: of letters and digits; distinguishes the element's ids from those of other charts.
        description: what it shows, for those who can't see it.
    """
    target = StringIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        # The browser has the glyphs that the measuring font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(WIDE, _height(chart)), layout="constrained")
        _draw(figure.subplots(), chart)
        # Of its metadata some have addresses, and one has the time.
        none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(target, format="svg", transparent=True, metadata=none)
    return _in_a_page(target.getvalue(), name, description)


def _height(chart: Chart) -> float:
    return HIGH if isinstance(chart, Lines) else AROUND + ROW * len(chart.rows)


def _draw(axes: Axes, chart: Chart) -> None:
    match chart:
        case Bars():
            _draw_bars(axes, chart)
        case Ratios():
            _draw_ratios(axes, chart)
        case Dots():
            _draw_dots(axes, chart)
        case Lines():
            _draw_lines(axes, chart)


def _draw_bars(axes: Axes, chart: Bars) -> None:
    for place, row in enumerate(chart.rows):
        axes.barh(place, row.spread.median, height=0.62, color=_colour(row.colour))
        axes.errorbar(
            row.spread.median, place, xerr=_whiskers([row]), color=INK, capsize=3, linewidth=1
        )
    _rows(axes, [row.label for row in chart.rows])
    axes.set_xlim(left=0)
    axes.set_xlabel(chart.unit)
    axes.xaxis.set_major_formatter(FuncFormatter(_ticked))


def _draw_ratios(axes: Axes, chart: Ratios) -> None:
    axes.axvline(1, color=INK, linewidth=1)
    for place, row in enumerate(chart.rows):
        axes.errorbar(
            row.spread.median,
            place,
            xerr=_whiskers([row]),
            color=_colour(row.colour),
            marker=MARKS[row.colour % len(MARKS)],
            capsize=3,
            linewidth=1.5,
        )
    _rows(axes, [row.label for row in chart.rows])
    _logarithmic(
        axes, [1, *(end for row in chart.rows for end in (row.spread.low, row.spread.high))]
    )
    axes.set_xlabel(chart.unit)


def _draw_dots(axes: Axes, chart: Dots) -> None:
    for place, (_, colour, values) in enumerate(chart.rows):
        times = [max(value, FLOOR) for value in values]
        axes.plot((times[0], times[-1]), (place, place), color=_colour(colour), linewidth=1.5)
        for time, mark in zip(times, "o|D", strict=True):
            axes.plot(time, place, mark, color=_colour(colour), markersize=6, markeredgewidth=2)
    _rows(axes, [row[0] for row in chart.rows])
    _logarithmic(axes, [max(value, FLOOR) for row in chart.rows for value in row[2]])
    axes.set_xlabel(f"{chart.unit}: ● p50   | p95   ◆ p99")


def _draw_lines(axes: Axes, chart: Lines) -> None:
    for place, line in enumerate(chart.lines):
        rows = [Bar("", 0, spread) for _, spread in line.points]
        axes.errorbar(
            [across for across, _ in line.points],
            [max(row.spread.median, FLOOR) for row in rows],
            yerr=_whiskers(rows),
            label=_wrapped(line.label),
            color=_colour(line.colour),
            marker=MARKS[place % len(MARKS)],
            linestyle=STYLES[place % len(STYLES)],
            markersize=5,
            capsize=3,
        )
    where = sorted({across for line in chart.lines for across, _ in line.points})
    if where[0] > 0 and where[-1] / where[0] > FEW:
        axes.set_xscale("log")
    if len(where) <= FEW:
        axes.set_xticks(where, [_ticked(across) for across in where])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(chart.across)
    axes.set_ylabel(chart.unit)
    if chart.logarithmic:
        axes.set_yscale("log")
    else:
        highest = max(spread.high for line in chart.lines for _, spread in line.points)
        axes.set_ylim(0, 1.1 * highest or 1)
    axes.yaxis.set_major_formatter(FuncFormatter(_ticked))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if len(chart.lines) > 1:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=9)


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [_wrapped(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if high / low < NEAR:
        return  # so near to each other a logarithm is hardly bent, and has no round numbers
    axes.set_xscale("log")
    axes.set_xlim(low / 1.5, high * 1.5)
    axes.xaxis.set_major_formatter(FuncFormatter(_ticked))
    if high / low < WIDE_APART:
        # Between two powers of ten there would hardly be a number.
        ticks = [tick for power in range(-4, 9) for tick in (10.0**power * n for n in (1, 2, 5))]
        axes.set_xticks([tick for tick in ticks if low / 1.5 <= tick <= high * 1.5])
    axes.xaxis.set_minor_formatter(NullFormatter())


def _whiskers(rows: Sequence[Bar]) -> list[list[float]]:
    """How far each reaches to either side of its median."""
    return [
        [max(0.0, row.spread.median - row.spread.low) for row in rows],
        [max(0.0, row.spread.high - row.spread.median) for row in rows],
    ]


def _ticked(value: float, _position: int | None = None) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else number(value)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _wrapped(label: str) -> str:
    return "\n".join(textwrap.wrap(label, LABEL, max_lines=2, placeholder="…"))


def _in_a_page(svg: str, name: str, description: str) -> str:
    """Only the element, without what would reach beyond it: style sheet, ids, addresses, sizes."""
    opening = re.search(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', svg)
    if opening is None:
        raise ValueError("matplotlib drew no <svg> with a viewBox; look at its version's notes.")
    sheet = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
    drawing = sheet.sub("", svg[opening.end() :])
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', drawing))

    def tag(found: re.Match[str]) -> str:
        text = re.sub(
            r' id="([^"]*)"',
            lambda id_: f' id="{name}{id_[1]}"' if id_[1] in used else "",
            found[0],
        )
        text = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}", text).replace("xlink:href", "href")
        text = text.replace("font-family: 'DejaVu Sans', sans-serif; ", "")
        return re.sub(r"#[0-9a-f]{6}\b", lambda seen: VARIABLES.get(seen[0], seen[0]), text)

    # Tags only: what runs are called is between them, and stays as it is.
    drawing = re.sub(r"<[^>]*>", tag, drawing)
    drawing = re.sub(r"\s*\n\s*", "\n", drawing).strip()
    label = html.escape(description)
    return f'<svg viewBox="{opening[1]}" role="img" aria-label="{label}">{drawing}'
