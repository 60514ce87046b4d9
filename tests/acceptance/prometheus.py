"""A real Prometheus that watches a pipeline, asked by its HTTP API."""

import json
import math
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dashboards.monitoring.rules import write_rules
from tests.acceptance.conftest import wait_for
from tests.monitoring.promtool import needed
from workers.embedded.process import free_port

PATIENCE = 0.01
"""Alerts wait a hundredth of what they say."""


class Prometheus:
    """The API of one that runs."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            self.get("status/runtimeinfo")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def get(self, path: str, **arguments: str) -> Any:
        """What it says."""
        asked = f"{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/{asked}") as answer:
            return json.loads(answer.read())["data"]

    def values(self, query: str) -> list[float]:
        """The values of a query now; those that are no number are left out."""
        found = self.get("query", query=query)["result"]
        return [value for one in found if not math.isnan(value := float(one["value"][1]))]

    def firing(self, alert: str) -> bool:
        """Whether an alert fires."""
        return bool(self.values(f'ALERTS{{alertname="{alert}",alertstate="firing"}}'))

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with how they are."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]


@contextmanager
def watching(folder: Path, targets: Sequence[str]) -> Iterator[Prometheus]:
    """Run one with the rules of the repository, which looks every second."""
    write_rules(folder / "rules", PATIENCE)
    config = {
        "global": {
            "scrape_interval": "1s",
            "evaluation_interval": "1s",
            "external_labels": {"console": "http://console"},
        },
        "rule_files": [str(folder / "rules" / "*.rules.yml")],
        "scrape_configs": [{"job_name": "pipe", "static_configs": [{"targets": list(targets)}]}],
    }
    file, port = folder / "prometheus.yml", free_port()
    file.write_text(json.dumps(config))
    command = [
        needed("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    with (folder / "prometheus.log").open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        found = Prometheus(port)
        wait_for(found.ready, "Prometheus answers")
        yield found
    finally:
        process.terminate()
        process.wait(30)
