"""The whole pipeline as a person runs it: real processes, real servers, a folder of its own."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[2]
SHARED_DATA = Path(os.environ.get("PIPELINE_SHARED_DATA", ROOT.parent / "shared" / "data"))
PATIENCE = 120.0  # seconds until a fact that must come is taken not to


def wait_for(fact: Callable[[], Any], what: str) -> Any:
    """Wait until the fact holds and return it; fail, naming it, when it never does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = fact()
        if found:
            return found
        time.sleep(0.1)
    pytest.fail(f"{what}: not so after {PATIENCE:.0f} s")


class Pipeline:
    """`pipeline` on the command line, and `pipeline up` behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **os.environ,
            "PIPELINE_DATA_DIR": str(folder / "data"),
            "PIPELINE_DASHBOARD_PORT": "0",
            "COLUMNS": "200",
            "PIPELINE_RESCUE_AFTER": "3",
            "PIPELINE_LEASE_SECONDS": "3",
        }
        self._up: subprocess.Popen[bytes] | None = None

    def __call__(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "workers", *arguments],
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=600,
        )

    def json(self, *arguments: str, stdin: bytes = b"") -> Any:
        """Run one command with --json and read what it printed."""
        done = self(*arguments, "--json", stdin=stdin)
        assert done.stdout, done.stderr.decode()
        return json.loads(done.stdout)

    def up(self, *options: str) -> None:
        """Start `pipeline up` and wait until its workers beat."""
        with (self.folder / "up.log").open("ab") as output:
            self._up = subprocess.Popen(
                [sys.executable, "-m", "workers", "up", *options],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for((self.folder / "data" / "logs").is_dir, "servers are up")
        wait_for(lambda: len(self.json("status")["workers"]) >= 2, "two workers beat")

    def start_command(
        self, *arguments: str, stdin: IO[bytes] | int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a command without waiting for its end."""
        return subprocess.Popen(
            [sys.executable, "-m", "workers", *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def wait_until_idle(self) -> dict[str, Any]:
        """Wait until nothing is left to be done, and return the status."""
        wait_for(lambda: not self.json("status")["backlog"], "everything is done")
        return self.json("status")

    def worker_pids(self) -> list[int]:
        """Process ids of the workers that beat now."""
        return [int(name.rpartition("-")[2]) for name in self.json("status")["workers"]]

    def down(self) -> int:
        """Drain, as Ctrl-C does, and return the exit status."""
        assert self._up is not None
        self._up.send_signal(signal.SIGINT)
        return self._up.wait(60)

    def stop(self) -> None:
        """End what still runs."""
        if self._up is not None and self._up.poll() is None:
            self.down()


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """Give a pipeline in an empty folder; what it started is stopped."""
    running = Pipeline(tmp_path)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def bookings() -> list[bytes]:
    """Give the events of the first 5,000 hotel bookings, each a line, in the file's order."""
    file = SHARED_DATA / "hotel_bookings.ndjson.gz"
    if not file.is_file():
        pytest.skip(f"no real data at {SHARED_DATA}")
    wanted: dict[str, None] = {}
    lines = []
    with gzip.open(file) as stream:
        for line in stream:
            entity = json.loads(line)["entity_id"]
            if len(wanted) < 5000:
                wanted[entity] = None
            if entity in wanted:
                lines.append(line)
    return lines
