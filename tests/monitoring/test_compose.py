"""docker-compose.yml: safe as it is written, and its commands run, as far as they can here."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from pymongo.database import Database

from dashboards.monitoring.rules import HERE
from pipeline.settings import Settings
from tests.facts import Document
from tests.monitoring.composed import ROOT, becomes, composed, healthy, here, inherited, running
from tests.monitoring.promtool import needed, promtool
from workers.embedded.process import free_port
from workers.embedded.programs import REDIS_SERVER

OURS = ("worker", "sweeper", "console")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Give all services."""
    found: dict[str, Any] = composed()["services"]
    return found


def test_all_that_is_needed_is_there(services: dict[str, Any]) -> None:
    """Servers, processes, and who watches them."""
    assert set(services) == {
        "redis",
        "mongodb",
        "replica-set",
        *OURS,
        "prometheus",
        "grafana",
    }


def test_no_service_runs_as_root_or_may_become_it(services: dict[str, Any]) -> None:
    """And none writes but where it has to."""
    for name, service in services.items():
        assert service["user"].split(":")[0] not in {"", "0", "root"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name


def test_every_image_is_of_one_version(services: dict[str, Any]) -> None:
    """Down to the patch, with a digest or without; the base of our own too."""
    for name, service in services.items():
        tag, _, digest = service["image"].partition("@")
        assert re.search(r":v?\d+\.\d+\.\d+(-\w+)?$", tag), name
        assert re.fullmatch(r"(sha256:[0-9a-f]{64})?", digest), name
    base = (ROOT / "Dockerfile").read_text().splitlines()[0]
    assert re.fullmatch(r"FROM python:3\.11\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", base)
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()


def test_nothing_is_published_beyond_loopback(services: dict[str, Any]) -> None:
    """Neither the servers at all."""
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)
    assert not any("ports" in services[name] for name in ("redis", "mongodb"))


def test_redis_keeps_everything(services: dict[str, Any]) -> None:
    """On disk, and throws nothing away when it is full."""
    command = services["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_every_service_has_a_health_check_and_waits_for_what_it_needs(
    services: dict[str, Any],
) -> None:
    """The pipeline for both servers until they can be written to."""
    once = services["replica-set"]
    assert once["healthcheck"] == {"test": ["NONE"]}
    assert once["restart"] == "no"
    assert once["depends_on"] == {"mongodb": {"condition": "service_healthy"}}
    for name in set(services) - {"replica-set"}:
        assert services[name]["healthcheck"]["test"][0] == "CMD", name
        assert services[name]["restart"] == "unless-stopped", name
    for name in OURS:
        waits = {server: one["condition"] for server, one in services[name]["depends_on"].items()}
        assert waits == {
            "redis": "service_healthy",
            "replica-set": "service_completed_successfully",
        }


def test_what_is_mounted_is_there_and_what_prometheus_asks_is_served(
    services: dict[str, Any],
) -> None:
    """Files of the repository, read-only; the port in prometheus.yml is that of the processes."""
    for service in services.values():
        for volume in service.get("volumes", []):
            source, target, mode = volume.split(":")
            if source.startswith("/"):
                assert Path(source).exists(), source
                assert mode == "ro", target
    text = (HERE / "prometheus" / "prometheus.yml").read_text()
    port = services["worker"]["environment"]["PIPELINE_METRICS_PORT"]
    assert f"names: [worker, sweeper, console], type: A, port: {port}" in text
    assert promtool("check", "config", "--syntax-only", HERE / "prometheus" / "prometheus.yml")


def test_the_file_of_settings_can_be_copied_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline reads .env too, and refuses settings that it does not know."""
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        monkeypatch.delenv(name)
    assert Settings(_env_file=ROOT / ".env.example") == Settings(_env_file=None)


@pytest.mark.parametrize("name", OURS)
def test_a_process_of_ours_runs_and_its_health_check_sees_it(
    services: dict[str, Any],
    name: str,
    tmp_path: Path,
    redis_url: str,
    mongo_url: str,
    database: Database[Document],
    redis_server: redis.Redis,
) -> None:
    """Its exact entry point, command, environment and check, but for addresses."""
    service, port, page = services[name], str(free_port()), str(free_port())
    ports = {"9400": port, "9181": page}
    environment = {key: ports.get(value, value) for key, value in service["environment"].items()}
    assert environment["PIPELINE_MONGO_URL"].startswith("mongodb://mongodb:")
    environment["PIPELINE_MONGO_URL"] = mongo_url
    environment["PIPELINE_REDIS_URL"] = redis_url
    environment["PIPELINE_DATABASE"] = database.name
    entry = service.get("entrypoint", ["python", "-m", "workers"])
    command = [*entry, *service.get("command", [])]
    check = here(service["healthcheck"]["test"][1:], **ports)
    command, check = ([sys.executable, *words[1:]] for words in (command, check))
    assert not healthy(check)
    with running(command, tmp_path, inherited() | environment):
        becomes(True, check, tmp_path)
    assert not healthy(check)


def test_redis_runs_and_its_health_check_sees_it(services: dict[str, Any], tmp_path: Path) -> None:
    """The exact options, and the check with the client that comes with the server."""
    service, port = services["redis"], str(free_port())
    server = REDIS_SERVER.find()
    client = shutil.which("redis-cli") or str(server.with_name("redis-cli"))
    command = [str(server), *service["command"][1:], "--port", port, "--dir", str(tmp_path)]
    check = [client, "-p", port, *service["healthcheck"]["test"][2:]]
    with running(command, tmp_path, os.environ):
        becomes(True, check, tmp_path)
        told = redis.Redis(port=int(port)).config_get("maxmemory*")
    assert told["maxmemory-policy"] == "noeviction"
    assert told["maxmemory"] == str(512 * 1024 * 1024)


def test_prometheus_runs_and_its_health_check_sees_it(
    services: dict[str, Any], tmp_path: Path
) -> None:
    """The exact options and configuration, with paths and port of this machine."""
    service, port = services["prometheus"], str(free_port())
    (tmp_path / "rules").mkdir()
    for file in (HERE / "prometheus").glob("*.rules.yml"):
        shutil.copy(file, tmp_path / "rules")
    config = (HERE / "prometheus" / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(config.replace("/etc/prometheus", str(tmp_path)))
    changes = {"9090": port, "/etc/prometheus": str(tmp_path), "=/prometheus": f"={tmp_path}/data"}
    command = [needed("prometheus"), *here(service["command"], **changes)]
    check = here(service["healthcheck"]["test"][1:], **changes)
    needed(check[0])
    with running(command, tmp_path, os.environ):
        becomes(True, check, tmp_path)
    said = (tmp_path / "service.log").read_text()
    assert "level=error" not in said
