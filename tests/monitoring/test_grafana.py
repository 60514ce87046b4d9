"""What Grafana reads, held against what Grafana publishes: no Grafana can be started here.

Its server comes as an image or a download only. Its schema of dashboards does come as a package,
in the version that docker-compose.yml runs.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import Dataquery

from dashboards.monitoring.rules import HERE
from dashboards.pages import PAGES
from tests.monitoring.composed import ROOT, by_the_system, composed, from_yaml, healthy, here
from tests.monitoring.promtool import needed
from workers.embedded.process import free_port

BOARDS: dict[str, dict[str, Any]] = {
    file.name: json.loads(file.read_text()) for file in (HERE / "grafana" / "boards").iterdir()
}
VENDOR = ROOT / "tests" / "vendor"
SCHEMA = "grafana-dashboard.schema.json"
VIOLATIONS = """
import json, sys
from jsonschema import Draft7Validator
told = json.load(sys.stdin)
check = Draft7Validator(told["schema"])
found = [(list(e.absolute_path), e.message[:300]) for e in check.iter_errors(told["board"])]
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Give all services."""
    found: dict[str, Any] = composed()["services"]
    return found


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    """Give the data source that is provided."""
    (found,) = provisioned("datasources/prometheus.yml", "datasources")
    return found


def provisioned(file: str, what: str) -> list[dict[str, Any]]:
    """What a file tells Grafana to have."""
    told = from_yaml((HERE / "grafana" / "provisioning" / file).read_text())
    assert set(told) == {"apiVersion", what}
    assert told["apiVersion"] == 1
    found: list[dict[str, Any]] = told[what]
    return found


def mounted(service: dict[str, Any]) -> dict[str, Path]:
    """Files and folders of the repository, by where a service sees them."""
    pairs = (volume.split(":")[:2] for volume in service["volumes"])
    return {target: Path(path) for path, target in pairs if path.startswith("/")}


def test_grafana_its_schema_and_what_writes_the_dashboards_are_of_one_version(
    services: dict[str, Any],
) -> None:
    """Another Grafana asks for another schema; and the schema is the one that was taken."""
    image = services["grafana"]["image"].partition("@")[0].partition(":")[2]
    (taken,) = (
        one for one in json.loads((VENDOR / "vendor.json").read_text()) if one["file"] == SCHEMA
    )
    assert taken["version"] == image
    assert version("grafana-foundation-sdk").endswith(f"!{image}")
    assert hashlib.sha256((VENDOR / SCHEMA).read_bytes()).hexdigest() == taken["sha256"]


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_has_what_grafana_knows_and_nothing_else(name: str) -> None:
    """Each field, its type, and the values that it may have."""
    told = {"schema": json.loads((VENDOR / SCHEMA).read_text()), "board": BOARDS[name]}
    assert json.loads(by_the_system(VIOLATIONS, json.dumps(told))) == []
    told["board"] = BOARDS[name] | {"graphTooltip": 7, "colour": "red"}
    assert len(json.loads(by_the_system(VIOLATIONS, json.dumps(told)))) == 2


def test_queries_and_units_are_such_as_grafana_knows() -> None:
    """The schema leaves both open."""
    known = {
        value for name, value in vars(units).items() if isinstance(value, str) and name[0] != "_"
    }
    panels = [panel for board in BOARDS.values() for panel in board["panels"]]
    for panel in (panel for panel in panels if panel["type"] != "row"):
        assert panel["fieldConfig"]["defaults"]["unit"] in known, panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert Dataquery.from_json(target).to_json() == target, panel["title"]
            assert target["range"] is not target["instant"], panel["title"]
            assert target.get("format", "time_series") in {"time_series", "table", "heatmap"}


def test_variables_that_are_asked_for_are_declared_and_none_for_nothing() -> None:
    """Besides those that Grafana has itself."""
    for name, board in BOARDS.items():
        declared = {variable["name"] for variable in board["templating"]["list"]}
        text = json.dumps(board)
        asked = set(re.findall(r"\$\{?([a-z]\w*)", text))
        assert asked <= declared, name
        assert declared - asked <= {"handler"}, name


def test_the_source_that_is_provided_is_the_prometheus_beside_it(
    services: dict[str, Any], source: dict[str, Any]
) -> None:
    """The dashboards take the one source of its type; it is asked where it listens."""
    assert set(source) <= {
        *("name", "uid", "type", "access", "url", "isDefault", "editable", "jsonData"),
    }
    assert (source["type"], source["access"], source["isDefault"]) == ("prometheus", "proxy", True)
    host, port = source["url"].removeprefix("http://").split(":")
    assert f"--web.listen-address=0.0.0.0:{port}" in services[host]["command"]
    for board in BOARDS.values():
        variables = {variable["name"]: variable for variable in board["templating"]["list"]}
        assert variables["datasource"]["query"] == source["type"]
        asking = [*board["panels"], *variables.values()]
        sources = [one["datasource"] for one in asking if "datasource" in one]
        assert sources
        assert all(one == {"type": source["type"], "uid": "${datasource}"} for one in sources)


def test_the_source_knows_how_often_is_scraped_and_where_an_exemplar_leads(
    source: dict[str, Any],
) -> None:
    """$__rate_interval follows from the one; a dot in a heatmap is a link by the other."""
    told = source["jsonData"]
    assert set(told) == {"httpMethod", "timeInterval", "exemplarTraceIdDestinations"}
    config = from_yaml((HERE / "prometheus" / "prometheus.yml").read_text())
    assert told["timeInterval"] == config["global"]["scrape_interval"]
    (destination,) = told["exemplarTraceIdDestinations"]
    assert set(destination) == {"name", "url"}
    assert destination["name"] == "event"
    page = destination["url"].removeprefix("http://127.0.0.1:9181")
    # Two dollars are one, and no variable of Grafana's environment.
    page = page.replace("$${__value.raw}", "{key:path}")
    assert page in {route.path for view in PAGES for route in view.router.routes}


def test_the_dashboards_are_where_grafana_is_told_to_look(services: dict[str, Any]) -> None:
    """The provider's folder, the home dashboard and the password's file are all mounted."""
    grafana = services["grafana"]
    (provider,) = provisioned("dashboards/pipeline.yml", "providers")
    assert set(provider) == {
        *("name", "folder", "type", "disableDeletion", "allowUiUpdates", "options"),
    }
    assert provider["type"] == "file"
    seen = mounted(grafana)
    assert seen[provider["options"]["path"]] == HERE / "grafana" / "boards"
    folders = {"/etc/grafana/provisioning/dashboards", "/etc/grafana/provisioning/datasources"}
    assert {seen[folder].name for folder in folders} == {"dashboards", "datasources"}
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (seen[str(home.parent)] / home.name).is_file()
    (secret,) = grafana["secrets"]
    name = secret if isinstance(secret, str) else secret["source"]
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == f"/run/secrets/{name}"


def test_grafana_calls_nobody_outside(services: dict[str, Any]) -> None:
    """It would tell of itself, look for newer versions, and fetch plugins as it starts."""
    environment = services["grafana"]["environment"]
    for name in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES"):
        assert environment[f"GF_ANALYTICS_{name}"] == "false"
    assert environment["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    assert environment["GF_NEWS_NEWS_FEED_ENABLED"] == "false"


def test_its_health_check_sees_whether_it_is_well(services: dict[str, Any]) -> None:
    """By the status of the answer alone, which is 503 while Grafana has no database."""
    port = str(free_port())
    check = here(services["grafana"]["healthcheck"]["test"][1:], **{"3000": port})
    needed(check[0])
    assert not healthy(check)
    for status, well in ((200, True), (503, False)):
        with standing_in(int(port), status):
            assert healthy(check) is well


@contextmanager
def standing_in(port: int, status: int) -> Iterator[None]:
    """Answer as Grafana does when it is asked how it is."""

    class Answer(BaseHTTPRequestHandler):
        """One status for the one path."""

        def do_GET(self) -> None:
            """Answer."""
            self.send_response(status if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", port), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
