"""`pipeline up` as its owner ends it, and as nobody should."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from pymongo.database import Database

from tests.acceptance.conftest import Pipeline, wait_for
from workers.embedded import EmbeddedRedis
from workers.embedded.process import free_port, listens

Document = dict[str, Any]

EVENT = (
    b'{"event_id":"e1","tenant":"acme","source":"shop","type":"parcel.sent",'
    b'"entity_id":"p1","occurred_at":"2024-05-01T10:00:00Z","payload":{}}\n'
)

SLOW = '''"""A handler that takes until there is a file `go`."""
import time
from pathlib import Path
from pipeline import Event, Update, action, inc


@action("parcels.count", on="parcel.*", table="parcel_totals", key="{tenant}")
def count(event: Event) -> Update:
    """One more parcel."""
    Path("began").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    return inc(parcels=1)
'''


@pytest.fixture
def slow(
    pipeline: Pipeline,
    redis_server: redis.Redis,
    redis_url: str,
    database: Database[Document],
    mongo_url: str,
) -> Pipeline:
    """Give a pipeline on running servers, whose only handler takes as long as a test wants."""
    (pipeline.folder / "slow.py").write_text(SLOW)
    pipeline.env["PIPELINE_HANDLERS"] = "slow"
    pipeline.env["PIPELINE_REDIS_URL"] = redis_url
    pipeline.env["PIPELINE_MONGO_URL"] = mongo_url
    pipeline.env["PIPELINE_DATABASE"] = database.name
    return pipeline


@contextmanager
def running(pipeline: Pipeline) -> Iterator[subprocess.Popen[bytes]]:
    """Run `pipeline up` with two workers; kill it at the end if it still runs."""
    with (pipeline.folder / "up.log").open("ab") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "workers", "up", "--workers", "2"],
            cwd=pipeline.folder,
            env=pipeline.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for((pipeline.folder / "data" / "logs").is_dir, "servers are up")
        yield up
    finally:
        up.kill()
        up.wait()


def said(folder: Path) -> str:
    """What `up` has printed, in one line."""
    return " ".join((folder / "up.log").read_text().split())


def gone(process: psutil.Process) -> bool:
    """Tell whether a process has ended, collected by its new parent or not."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def begin(slow: Pipeline) -> None:
    """Send an event and wait until a worker is at it."""
    assert slow.json("ingest", "-", stdin=EVENT)["accepted"] == 1
    wait_for((slow.folder / "began").exists, "a worker has begun")


def test_ctrl_c_lets_a_worker_finish_its_batch(
    slow: Pipeline, database: Database[Document]
) -> None:
    """The batch is done when all have ended, and nobody was killed."""
    slow.env["PIPELINE_DRAIN_SECONDS"] = "3600"
    with running(slow) as up:
        begin(slow)
        up.send_signal(signal.SIGINT)
        wait_for(lambda: "draining" in said(slow.folder), "it drains")
        assert up.poll() is None
        (slow.folder / "go").touch()
        assert up.wait(60) == 0
    assert "killed:" not in said(slow.folder)
    assert [total["parcels"] for total in database.parcel_totals.find()] == [1]


@pytest.mark.parametrize(
    ("deadline", "signals"),
    [("3600", [signal.SIGINT, signal.SIGINT]), ("0.2", [signal.SIGTERM])],
    ids=["second-ctrl-c", "deadline"],
)
def test_a_worker_that_does_not_finish_is_killed(
    slow: Pipeline,
    database: Database[Document],
    deadline: str,
    signals: list[signal.Signals],
) -> None:
    """By a second Ctrl-C at once, or after the deadline; what it had begun is not done."""
    slow.env["PIPELINE_DRAIN_SECONDS"] = deadline
    with running(slow) as up:
        begin(slow)
        for number in signals:
            up.send_signal(number)
            wait_for(lambda: "draining" in said(slow.folder), "it drains")
        assert up.wait(60) == 0
    assert "killed: worker-" in said(slow.folder)
    assert database.parcel_totals.count_documents({}) == 0


def test_nothing_outlives_a_supervisor_that_is_killed(pipeline: Pipeline) -> None:
    """Workers, sweeper, console and embedded servers all end by themselves."""
    port = free_port()
    pipeline.env["PIPELINE_DASHBOARD_PORT"] = str(port)
    with running(pipeline) as up:
        wait_for(lambda: listens(port), "the console is served")
        wait_for(lambda: len(pipeline.json("status")["workers"]) == 2, "two workers beat")
        children = psutil.Process(up.pid).children(recursive=True)
        commands = [" ".join(child.cmdline()) for child in children]
        up.kill()
        up.wait()
    wait_for(lambda: all(gone(child) for child in children), "all have ended")
    for part in ("--name worker-1", "--name worker-2", "sweeper", "dashboards", "mongod", "redis"):
        assert any(part in command for command in commands), (part, commands)


def test_a_redis_that_comes_back_finds_everything_still_running(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    """Servers that do not answer for a while are no reason to end."""
    server = EmbeddedRedis(tmp_path / "elsewhere")
    pipeline.env["PIPELINE_REDIS_URL"] = server.start()
    try:
        with running(pipeline) as up:
            log = pipeline.folder / "data" / "logs" / "worker-1.log"
            wait_for(lambda: len(pipeline.json("status")["workers"]) == 2, "two workers beat")
            server.kill()
            wait_for(lambda: log.read_text().count("heartbeat_failed") > 1, "it is missed")
            server.restart()
            wait_for(lambda: len(pipeline.json("status")["workers"]) == 2, "two workers beat")
            assert up.poll() is None
            os.kill(up.pid, signal.SIGTERM)
            assert up.wait(60) == 0
    finally:
        server.stop()
