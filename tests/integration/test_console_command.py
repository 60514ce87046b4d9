"""`pipeline console`: users, and serving until it is told to end."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from pymongo.database import Database

from dashboards import cli
from dashboards.access import Role
from dashboards.access.users import Users
from tests.integration.command_line import CommandLine
from workers.cli.context import Exit
from workers.embedded.process import free_port

COMMAND = CommandLine(SimpleNamespace(register=cli.register))  # type: ignore[arg-type]
SAID = "a long password\na long password\n"


def test_a_user_is_added_and_changed(tmp_path: Path) -> None:
    """The password is asked for, and kept as a digest only."""
    file = tmp_path / "users.json"
    for role in ("viewer", "operator"):
        COMMAND.text("console", "user", "ann", "--role", role, "--file", str(file), said=SAID)
    user = Users(file).check("ann", "a long password")
    assert user is not None
    assert user.role is Role.OPERATOR
    assert "a long password" not in file.read_text()
    assert list(json.loads(file.read_text())) == ["ann"]


@pytest.mark.parametrize(
    ("name", "role", "said", "told"),
    [
        ("ann", "king", SAID, "is no role"),
        ("a b", "viewer", SAID, "no name of a user"),
        ("ann", "viewer", "short\nshort\n", "10 to 200 characters"),
    ],
)
def test_a_user_that_cant_be_is_refused(
    tmp_path: Path, name: str, role: str, said: str, told: str
) -> None:
    """With the reason."""
    file = tmp_path / "users.json"
    done = COMMAND("console", "user", name, "--role", role, "--file", str(file), said=said)
    assert done.exit_code == Exit.USAGE
    assert told in " ".join(done.output.split())
    assert not file.exists()


def test_a_file_has_to_be_named() -> None:
    """By the option, or by the setting."""
    done = COMMAND("console", "user", "ann", said=SAID)
    assert done.exit_code == Exit.USAGE
    assert "--file" in done.output


def test_the_command_line_works_without_what_serves_pages() -> None:
    """It is imported by the commands that need it; where it is missing they say what to do."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['fastapi', 'uvicorn', 'itsdangerous']));"
        "import typer, dashboards.cli as cli; app = typer.Typer();"
        "app.callback()(lambda: None); cli.register(app); app(['console'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == Exit.USAGE, done.stderr
    assert "install event-pipeline[dashboards]" in done.stderr


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """Where the servers are, for a process."""
    return {**os.environ, "PIPELINE_DATA_DIR": str(tmp_path / "data"), **more}


def test_it_serves_until_it_is_told_to_end(
    tmp_path: Path,
    mongo_url: str,
    redis_url: str,
    redis_server: redis.Redis,
    database: Database[dict[str, Any]],
) -> None:
    """On loopback, with a token for its owner; a second one on the port says so and ends."""
    port = str(free_port())
    where = environment(
        tmp_path,
        PIPELINE_MONGO_URL=mongo_url,
        PIPELINE_REDIS_URL=redis_url,
        PIPELINE_DATABASE=database.name,
        PIPELINE_HANDLERS="tests.integration.sample_handlers",
        PIPELINE_DASHBOARD_PORT=port,
    )
    command = [sys.executable, "-m", "dashboards"]
    with (tmp_path / "log").open("wb") as log:
        served = subprocess.Popen(command, env=where, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while True:
            assert served.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
                    assert json.load(answer) == {"status": "alive"}
                break
            except OSError:
                time.sleep(0.05)
        token = (tmp_path / "data" / "console.token").read_text()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/v1/status", headers={"authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - of this machine
            assert json.load(answer)["events"] == 0
        second = subprocess.run(command, env=where, capture_output=True, text=True, check=False)
        assert second.returncode == Exit.UNAVAILABLE
        assert "PIPELINE_DASHBOARD_PORT" in second.stderr
        served.send_signal(signal.SIGTERM)
        assert served.wait(30) in {0, -signal.SIGTERM}
    finally:
        served.kill()
        served.wait()
    said = (tmp_path / "log").read_text()
    assert "console on http://127.0.0.1" in said
    assert "console.token" in said
    assert token not in said
