"""docker-compose.yml as docker-compose reads it, and its commands as plain processes."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.monitoring.promtool import needed

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
AS_JSON = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


def composed() -> dict[str, Any]:
    """The whole of it, with the settings of .env.example and a token."""
    done = subprocess.run(
        [needed("docker-compose"), "--env-file", ".env.example", "config"],
        cwd=ROOT,
        env=os.environ | {"PIPELINE_CONSOLE_TOKEN": "of-this-test"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return from_yaml(done.stdout)


def from_yaml(text: str) -> dict[str, Any]:
    """What a YAML document says."""
    found: dict[str, Any] = json.loads(by_the_system(AS_JSON, text))
    return found


def by_the_system(program: str, told: str) -> str:
    """What a program for the system's Python prints.

    docker-compose of Debian is written in Python, so that one can read YAML and JSON schemas.
    """
    needed("docker-compose")
    return subprocess.run(
        ["/usr/bin/python3", "-c", program],
        input=told,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


@contextmanager
def running(
    command: Sequence[str], folder: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service's command as a plain process."""
    with (folder / "service.log").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def healthy(check: Sequence[str], timeout: float = PATIENCE) -> bool:
    """Whether a health check succeeds in time."""
    try:
        done = subprocess.run(check, capture_output=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def becomes(healthy_now: bool, check: Sequence[str], folder: Path) -> None:  # noqa: FBT001 - a fact
    """Wait until a health check says so."""
    end = time.monotonic() + PATIENCE
    while healthy(check) is not healthy_now:
        assert time.monotonic() < end, (folder / "service.log").read_text()
        time.sleep(0.2)


def here(command: Sequence[str], **changes: str) -> list[str]:
    """A command with this machine's programs, and addresses that are free here."""
    found = []
    for word in command:
        for old, new in changes.items():
            word = word.replace(old, new)  # noqa: PLW2901 - one replacement after the other
        found.append(word)
    return found


def inherited() -> dict[str, str]:
    """The environment without settings of the pipeline."""
    return {key: value for key, value in os.environ.items() if "PIPELINE" not in key}
