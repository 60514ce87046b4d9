"""MongoDB in docker-compose.yml: its server, its health check and its initiation, really run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pymongo
import pytest

from pipeline.errors import Unavailable
from pipeline.store.client import connect
from tests.monitoring.composed import becomes, composed, healthy, here, inherited, running
from workers.embedded.process import free_port
from workers.embedded.programs import MONGOD


class Composed:
    """The services, with this machine's programs, a folder and a port that is free."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        services = composed()["services"]
        port = str(free_port())
        self._folder = folder
        self._once = services["replica-set"]["command"]
        # All that is other than in the file.
        ours = {"mongodb:27017": f"127.0.0.1:{port}", "redis://redis:6379/0": redis_url}
        self.server = [
            str(MONGOD.find()),
            *services["mongodb"]["command"][1:],
            *("--dbpath", str(folder / "db"), "--port", port),
        ]
        self.check = here(services["mongodb"]["healthcheck"]["test"][1:], **{"27017": port})
        # The same for all of ours.
        assert services["replica-set"]["environment"] == services["worker"]["environment"]
        told = services["worker"]["environment"]
        self._environment = dict(zip(told, here(list(told.values()), **ours), strict=True))
        self.address = self._environment["PIPELINE_MONGO_URL"]
        self.direct = f"mongodb://127.0.0.1:{port}/?directConnection=true"

    def initiate(self) -> str:
        """Run the service that initiates to its end, which is success, and return what it said."""
        done = self._ours(self._once)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> subprocess.CompletedProcess[str]:
        """Ask the pipeline for its status, as a worker would connect."""
        return self._ours(["status", "--json"])

    def _ours(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workers", *command],
            cwd=self._folder,
            env=inherited() | self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def mongodb(tmp_path: Path, redis_url: str) -> Composed:
    """Give the services; none of them runs."""
    (tmp_path / "db").mkdir()
    return Composed(tmp_path, redis_url)


def hello(mongodb: Composed) -> dict[str, Any]:
    """What the server says of itself."""
    with pymongo.MongoClient[dict[str, Any]](mongodb.direct) as client:
        return dict(client.admin.command("hello"))


def tuned(url: str) -> list[Any]:
    """What a server was started with where MongoDB's own values do not suit the pipeline."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        told = client.admin.command("getCmdLineOpts")["parsed"]
    names = ("transactionLifetimeLimitSeconds", "minSnapshotHistoryWindowInSeconds")
    return [
        *(told["setParameter"][name] for name in names),
        told["operationProfiling"]["slowOpThresholdMs"],
        told["storage"]["wiredTiger"]["engineConfig"]["configString"],
    ]


def test_it_runs_its_health_check_sees_it_and_it_is_initiated_once(
    mongodb: Composed, tmp_path: Path, mongo_url: str
) -> None:
    """From an empty folder to a pipeline that connects, and once more with what is stored."""
    assert not healthy(mongodb.check)
    with running(mongodb.server, tmp_path, os.environ) as process:
        becomes(True, mongodb.check, tmp_path)
        assert not hello(mongodb)["isWritablePrimary"]
        with pytest.raises(Unavailable):
            connect(mongodb.address, timeout_seconds=0.5)

        assert "initiated, and has a primary" in mongodb.initiate()
        assert hello(mongodb)["isWritablePrimary"]
        assert hello(mongodb)["setName"] == "pipeline"
        status = mongodb.status()
        assert status.returncode == 0, status.stderr
        assert json.loads(status.stdout)["backlog"] == {}
        assert tuned(mongodb.direct) == tuned(mongo_url)

        process.send_signal(signal.SIGSTOP)
        try:
            assert not healthy(mongodb.check, timeout=1)
        finally:
            process.send_signal(signal.SIGCONT)
        becomes(True, mongodb.check, tmp_path)
    assert not healthy(mongodb.check)

    with running(mongodb.server, tmp_path, os.environ):
        becomes(True, mongodb.check, tmp_path)
        assert "was initiated before" in mongodb.initiate()
        assert hello(mongodb)["isWritablePrimary"]
