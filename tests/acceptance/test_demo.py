"""The demo as a person meets it: one command, a proof, and commands that can be pasted."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from benchmarks import flights
from benchmarks.places import MARK
from workers.embedded import EmbeddedMongo
from workers.embedded.programs import MONGOD, REDIS_SERVER, ServerMissing

pytestmark = pytest.mark.uncounted

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 240.0
PROOF: Final = "documents of 4 tables equal an independent recalculation from the raw file"


@pytest.fixture(scope="module", autouse=True)
def _what_the_demo_needs() -> None:
    """Skip without the data or the servers; in CI that is a failure."""
    try:
        flights.data_file()
        MONGOD.find()
        REDIS_SERVER.find()
    except (flights.FlightsMissingError, ServerMissing) as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


def environment(data_dir: Path) -> dict[str, str]:
    """Give an environment without settings but the data folder, and with wide lines."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    return ours | {"PIPELINE_DATA_DIR": str(data_dir), "COLUMNS": "160"}


def demo(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.demo", *arguments],
        cwd=ROOT,
        env=environment(data_dir),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def printed_commands(output: str) -> list[str]:
    """Pick the lines after 'Try next:'."""
    return [line.strip() for line in output.partition("Try next:")[2].strip().splitlines()]


def test_the_demo_proves_its_tables_and_its_commands_work(tmp_path: Path) -> None:
    """Exit status 0, the proof line, figures as JSON, and three commands run as printed."""
    figures = tmp_path / "figures.json"
    done = demo(tmp_path / "data", "--events", "2000", "--seed", "3", "--json", str(figures))
    assert done.returncode == 0, done.stdout + done.stderr
    assert PROOF in done.stdout

    said = json.loads(figures.read_text())
    assert said["differences"] == []
    assert said["events"] >= 2000
    assert said["duplicates"] == said["sent_twice"] > 0
    assert said["submitted"] == said["events"] + said["duplicates"]
    assert said["documents"]["rs_appointment_changes"] == said["events"]
    assert said["trouble"] == {}

    commands = printed_commands(done.stdout)
    assert len(commands) == 3
    # No setting of ours: what is printed must be enough.
    bare = {name: value for name, value in environment(tmp_path).items() if "PIPELINE" not in name}
    outputs = []
    for command in commands:
        words = shlex.split(command)
        settings = dict(word.split("=", 1) for word in words if word.startswith("PIPELINE_"))
        ran = subprocess.run(
            words[len(settings) :],
            cwd=ROOT,
            env=bare | settings,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert ran.returncode == 0, command + ran.stdout + ran.stderr
        outputs.append(ran.stdout)
    traced, queried, status = outputs
    assert "appointments.apply" in traced
    assert "conversions.count" in traced
    assert "rs_lead_global_conversions" in queried
    assert "nothing is waiting" in status


def test_the_demo_ends_cleanly_when_interrupted(tmp_path: Path) -> None:
    """Ctrl-C stops workers and servers; the next run starts from nothing."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.demo", "--events", "all"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not list((tmp_path / "demo").glob("logs/worker-2.log")):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert EmbeddedMongo.running_address(tmp_path / "demo") is None


def test_the_demo_wipes_nothing_that_it_has_not_made(tmp_path: Path) -> None:
    """A folder with something else in it stays as it is."""
    kept = tmp_path / "demo" / "precious.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    refused = demo(tmp_path, "--events", "10")
    assert refused.returncode == 2
    assert "holds something else" in refused.stderr
    assert kept.read_text() == "mine"
    assert not (kept.parent / MARK).exists()


@pytest.mark.parametrize("number", ["none", "0", "-5"])
def test_a_number_of_events_that_makes_no_sense_is_refused(tmp_path: Path, number: str) -> None:
    """With a sentence, before anything is started."""
    refused = demo(tmp_path, f"--events={number}")
    assert refused.returncode == 2
    assert "--events takes a number" in refused.stderr
    assert not (tmp_path / "demo").exists()
