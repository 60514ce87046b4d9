"""A pipeline that runs, a Prometheus that scrapes it, and a fault that somebody planted."""

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from dashboards.monitoring.boards import files
from dashboards.monitoring.panels import SELECT
from tests.acceptance.conftest import Pipeline, wait_for
from tests.acceptance.prometheus import Prometheus, watching
from tests.monitoring.promtool import promtool
from workers.embedded.process import free_port, listens

HANDLERS = '''"""A fold that refuses what it is told to, and a sum."""
from pipeline import Change, Event, State, Update, action, inc, observer


class Parcel(State):
    """One parcel."""

    weight: int = 0


@action("parcels.apply", on="parcel.*", table="parcels", key="{tenant}:{entity_id}")
def apply(state: Parcel | None, event: Event) -> Parcel:
    """Its weight."""
    if event.payload["weight"] < 0:
        raise ValueError("no parcel weighs less than nothing")
    return (state or Parcel()).replace(weight=event.payload["weight"])


@observer("parcels.sum", after=apply, table="parcel_totals", key="{tenant}")
def add(change: Change[Parcel], event: Event) -> Update:
    """One more change."""
    return inc(changes=1)
'''


def events(first: int, count: int, *, weight: int = 1) -> bytes:
    """So many events; each tenth happened before the one before it."""
    lines = []
    for n in range(first, first + count):
        minute = n - 15 if n % 10 == 0 and n > 15 else n
        lines.append(
            {
                "event_id": f"e{n}",
                "tenant": "acme",
                "source": "shop",
                "type": "parcel.weighed",
                "entity_id": f"p{n % 3}",
                "occurred_at": f"2024-05-01T{minute // 60 % 24:02}:{minute % 60:02}:00Z",
                "payload": {"weight": weight},
            }
        )
    return "\n".join(map(json.dumps, lines)).encode()


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        if first + count < 65536 and not any(listens(first + n) for n in range(count)):
            return first


@pytest.fixture
def watched(pipeline: Pipeline) -> Iterator[tuple[Pipeline, Prometheus]]:
    """Give a pipeline with two workers, and a Prometheus that watches all of its processes."""
    (pipeline.folder / "watched.py").write_text(HANDLERS)
    ports, page = free_ports(5), free_port()
    pipeline.env |= {
        "PIPELINE_HANDLERS": "watched",
        "PIPELINE_METRICS_PORT": str(ports),
        "PIPELINE_METRICS_TENANTS": "acme=3600",
        "PIPELINE_DASHBOARD_PORT": str(page),
        "PIPELINE_SAMPLE_INTERVAL": "1",
        "PIPELINE_MAX_ATTEMPTS": "1",
    }
    targets = [f"127.0.0.1:{port}" for port in range(ports, ports + 5)]
    with watching(pipeline.folder, targets) as prometheus:
        pipeline.up("--workers", "2")
        yield pipeline, prometheus


def asked(query: str) -> str:
    """A panel's query as Grafana would send it, over the last five minutes."""
    for name, value in (("$__rate_interval", "5m"), ("$__range", "5m"), ("$handler", ".+")):
        query = query.replace(name, value)
    return query.replace("$job", ".+").replace("$instance", ".+")


def answered(prometheus: Prometheus, target: dict[str, Any]) -> list[dict[str, Any]]:
    """The series of a panel's line, asked for as Grafana asks: as they are now, or in steps."""
    query, now = asked(target["expr"]), time.time()
    if target["instant"]:
        found = prometheus.get("query", query=query)
    else:
        found = prometheus.get(
            "query_range", query=query, start=f"{now - 300}", end=f"{now}", step="15"
        )
    series: list[dict[str, Any]] = found["result"]
    assert series, query
    return series


def choices() -> set[str]:
    """The queries of all variables that are chosen from what there is."""
    return {
        variable["query"]
        for _, text in files()
        for variable in json.loads(text)["templating"]["list"]
        if variable["type"] == "query"
    }


def chosen_from(prometheus: Prometheus, choice: str) -> list[str]:
    """What a variable may be; Grafana asks for the values of the label that it names."""
    named = re.fullmatch(r"label_values\((.+), (\w+)\)", choice)
    assert named, choice
    found: list[str] = prometheus.get(f"label/{named[2]}/values", **{"match[]": asked(named[1])})
    return found


def every_panel_answers(prometheus: Prometheus) -> None:
    """With data, every series with all that its legend names; and every variable has a choice."""
    targets = [
        (panel["title"], target)
        for _, text in files()
        for panel in json.loads(text)["panels"]
        for target in panel.get("targets", [])
    ]
    assert len(targets) > 50
    assert SELECT not in " ".join(asked(target["expr"]) for _, target in targets)
    for title, target in targets:
        query = asked(target["expr"])
        wait_for(lambda query=query: prometheus.values(query), f"{title} has data: {query}")
        named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
        for series in answered(prometheus, target):
            assert named <= set(series["metric"]), (title, series["metric"])
    for choice in choices():
        assert chosen_from(prometheus, choice), choice


def test_prometheus_sees_all_of_it_and_a_fault_fires_and_clears(
    watched: tuple[Pipeline, Prometheus],
) -> None:
    """Every process is scraped, every panel has data, every rule is well."""
    pipeline, prometheus = watched
    wait_for(lambda: sum(prometheus.values("up")) == 5, "every process is scraped")
    zero = 'pipe_events_total{handler="parcels.apply",outcome="done"} == 0'
    wait_for(lambda: prometheus.values(zero), "zeros are seen before anything is counted")

    assert pipeline.json("ingest", "-", stdin=events(0, 60))["accepted"] == 60
    assert pipeline.json("ingest", "-", stdin=events(60, 1, weight=-1))["accepted"] == 1
    pipeline("locks", "set", "--wait", "1")
    pipeline.wait_until_idle()
    dead = "PipeDeadLetters"
    wait_for(lambda: prometheus.firing(dead), "the dead letter is told")

    counted = 'pipe_events_total{handler="parcels.apply",outcome=~"done|dead"}'
    wait_for(lambda: sum(prometheus.values(counted)) == 61, "every event is counted once")
    assert sum(prometheus.values('pipe_intake_events_total{tenant="acme"}')) == 61
    locks = 'pipe_operator_actions_total{action="locks"}'
    wait_for(lambda: prometheus.values(locks) == [1], "what the command line did is counted")

    every_panel_answers(prometheus)

    def all_well() -> bool:
        return all(rule["health"] == "ok" for rule in prometheus.rules())

    wait_for(all_well, "every rule is evaluated, and none fails")
    exemplars = prometheus.get(
        "query_exemplars", query="pipe_event_e2e_seconds_bucket", start="0", end="9999999999"
    )
    keys = {one["labels"]["event"] for found in exemplars for one in found["exemplars"]}
    assert keys <= {f"e{n}@acme/shop" for n in range(61)}
    assert keys

    # Both workers freeze while events wait, and thaw again.
    assert not prometheus.firing("PipeNoWorkers")
    pids = pipeline.worker_pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: prometheus.values("sum(pipe_workers) == 0"), "no worker beats")
        pipeline.json("ingest", "-", stdin=events(100, 30))
        wait_for(lambda: prometheus.firing("PipeNoWorkers"), "the fault is told")
        (told,) = [
            alert
            for alert in prometheus.get("alerts")["alerts"]
            if alert["labels"]["alertname"] == "PipeNoWorkers"
        ]
        assert told["labels"]["severity"] == "page"
        assert told["annotations"]["console_url"] == "http://console/ops/queues"
        assert told["annotations"]["runbook_url"] == "docs/runbooks/PipeNoWorkers.md"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not prometheus.firing("PipeNoWorkers"), "it is over")

    pipeline("dead", "discard", "e60", "--reason", "planted")
    wait_for(lambda: not prometheus.firing(dead), "nobody has to look any more")

    sweeper = int(pipeline.env["PIPELINE_METRICS_PORT"]) + 1
    with urllib.request.urlopen(f"http://127.0.0.1:{sweeper}/metrics") as answer:
        checked = promtool("check", "metrics", stdin=answer.read().decode())
    assert checked.returncode == 0, checked.stdout + checked.stderr
