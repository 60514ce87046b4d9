"""The dashboards: those of the code, readable, and of metrics that there are."""

import json
import re
from typing import Any

import pytest

from dashboards.monitoring.alerts import ALERTS
from dashboards.monitoring.boards import files
from dashboards.monitoring.rules import HERE, alert_rules, recording_rules
from pipeline.metrics import CATALOGUE, Counter, Histogram

BOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in files()}
PANELS = [panel for board in BOARDS.values() for panel in board["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_the_dashboards_in_the_repository_are_those_of_the_code() -> None:
    """Written anew, nothing changes, and none is left of old ones."""
    folder = HERE / "grafana" / "boards"
    assert {file.name: file.read_text() for file in folder.iterdir()} == dict(files())


def test_every_panel_says_what_it_shows_and_where_to_act() -> None:
    """Title, description, unit, and a link to the console."""
    for panel in PANELS:
        assert panel["title"], panel
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert next(link["url"] for link in panel["links"]).startswith("${console}/ops/")
        assert panel["datasource"]["uid"] == "${datasource}"
    assert len(PANELS) > 40


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_numbers_and_places_of_their_own(name: str) -> None:
    """The builder would leave both out."""
    panels = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (place["x"] + dx, place["y"] + dy)
            for dx in range(place["w"])
            for dy in range(place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_counters_are_looked_at_as_rates_and_by_the_interval_of_the_panel() -> None:
    """A raw counter says nothing, and a fixed range misses samples."""
    for query in QUERIES:
        counters = re.findall(r"pipe_\w+_(?:total|bucket|count|sum)\b", query)
        assert len(counters) == len(re.findall(r"(?:rate|increase)\(pipe_", query)), query
        assert set(re.findall(r"\[(\S+?)\]", query)) <= {"$__rate_interval", "$__range"}, query


def names_of(metric: Any) -> set[str]:
    """The series of a metric."""
    if isinstance(metric, Counter):
        return {f"{metric.name}_total"}
    if isinstance(metric, Histogram):
        return {metric.name + part for part in ("_bucket", "_sum", "_count")}
    return {metric.name}


def test_every_metric_that_is_counted_is_looked_at() -> None:
    """By a panel or a rule; else it would be counted for nobody."""
    asked = " ".join([*QUERIES, recording_rules(), alert_rules()])
    for metric in CATALOGUE:
        assert any(re.search(rf"\b{name}\b", asked) for name in names_of(metric)), metric.name


def test_alerts_and_panels_share_the_pages_of_the_console() -> None:
    """No page has two names."""
    pages = {re.split(r"[/?][^/]*\{", alert.console)[0].rstrip("/") for alert in ALERTS}
    linked = {link["url"] for panel in PANELS for link in panel["links"]}
    assert {f"${{console}}{page}" for page in pages if page != "/ops"} <= linked
