"""Dashboards for Grafana, made of the panels. Needs the extra `monitoring`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    GridPos,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.monitoring.order import ORDER_BOARD
from dashboards.monitoring.overview import OVERVIEW_BOARD
from dashboards.monitoring.panels import SELECT, Board, Panel
from dashboards.monitoring.stages import STAGES_BOARD

BOARDS: Final = (OVERVIEW_BOARD, STAGES_BOARD, ORDER_BOARD)
PER_ROW: Final = 3
WIDTH: Final = 24 // PER_ROW
HEIGHT: Final = 8
CONSOLE: Final = "http://127.0.0.1:9181"
"""Where the console is, unless the variable `console` says otherwise."""
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
HANDLERS: Final = "label_values(pipe_events_total, handler)"

INTERVALS_ONLY: Final = ("auto", "auto_count", "auto_min")

AnyPanel = timeseries.Panel | stat.Panel | table.Panel | heatmap.Panel
KINDS: Final[dict[str, type[AnyPanel]]] = {
    "timeseries": timeseries.Panel,
    "stat": stat.Panel,
    "table": table.Panel,
    "heatmap": heatmap.Panel,
}
FORMATS: Final = {"table": PromQueryFormat.TABLE, "heatmap": PromQueryFormat.HEATMAP}


def files() -> Iterator[tuple[str, str]]:
    """Each dashboard, as the name of its file and its JSON."""
    for board in BOARDS:
        yield f"{board.uid}.json", as_json(board)


def as_json(board: Board) -> str:
    """One dashboard, as Grafana reads it."""
    made = (
        build.Dashboard(board.title)
        .uid(board.uid)
        .description(board.means)
        .tags(["pipeline"])
        .readonly()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("utc")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(build.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(_every("job", "label_values(pipe_build_info, job)"))
        .with_variable(_every("instance", 'label_values(pipe_build_info{job=~"$job"}, instance)'))
        .with_variable(_every("handler", HANDLERS))
        .with_variable(build.TextBoxVariable("console").default_value(CONSOLE))
    )
    # The builder leaves numbers and places to Grafana, and gives every row the same number.
    number, top = 0, 0
    for title, panels in board.rows:
        number += 1
        place = GridPos(h=1, w=24, x=0, y=top)
        made.with_row(build.Row(title).id(number).grid_pos(place))
        top += 1
        for at, panel in enumerate(panels):
            number += 1
            place = GridPos(
                h=HEIGHT, w=WIDTH, x=at % PER_ROW * WIDTH, y=top + at // PER_ROW * HEIGHT
            )
            made.with_panel(_panel(panel, number, place))
        top += -(-len(panels) // PER_ROW) * HEIGHT
    told: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(made.build()))
    # The builder gives every variable what only one of intervals has.
    for variable in told["templating"]["list"]:
        for name in INTERVALS_ONLY:
            variable.pop(name)
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


def _panel(panel: Panel, number: int, place: GridPos) -> AnyPanel:
    made = (
        KINDS[panel.kind]()
        .id(number)
        .title(panel.title)
        .description(panel.means)
        .unit(panel.unit)
        .datasource(SOURCE)
        .grid_pos(place)
        .links([build.DashboardLink("Console").url("${console}" + panel.console)])
    )
    for letter, (query, legend) in zip(ascii_uppercase, panel.queries, strict=False):
        asked = prometheus.Dataquery().expr(query.replace("$s", SELECT)).ref_id(letter)
        if legend:
            asked.legend_format(legend)
        if panel.kind in FORMATS:
            asked.format(FORMATS[panel.kind])
        if panel.kind in {"stat", "table"}:
            asked.instant()
        else:
            asked.range().exemplar(panel.kind == "heatmap")
        made.with_target(asked)
    return made


def _every(name: str, query: str) -> build.QueryVariable:
    """A choice of any number of values; at first all."""
    return (
        build.QueryVariable(name)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".+")
    )
