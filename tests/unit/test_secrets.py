"""No password is printed or logged, whether an address is wrong or a handler raises."""

import io
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from pipeline.errors import SettingError
from pipeline.locks import connect as connect_locks
from pipeline.queue import connect as connect_redis
from pipeline.store import connect as connect_mongo
from tests.integration.command_line import CommandLine
from workers import logs
from workers.bootstrap import Servers
from workers.cli import tables
from workers.cli.context import Exit
from workers.doctor import without_secret

REDIS = "redis://me:hun/ter2@127.0.0.1:1/0"
"""What follows the slash is no path, and what stands before it no port."""
MONGO = "mongodb://me:hun/ter2@127.0.0.1:1/?replicaSet=x"


@pytest.mark.parametrize(
    ("connect", "url", "setting"),
    [
        (connect_redis, REDIS, "PIPELINE_REDIS_URL"),
        (connect_redis, "http://me:hunter2@h/0", "PIPELINE_REDIS_URL"),
        (connect_redis, "redis://me:hunter2@h/0?hunter2=1", "PIPELINE_REDIS_URL"),
        (connect_locks, REDIS, "PIPELINE_REDIS_URL"),
        (connect_mongo, MONGO, "PIPELINE_MONGO_URL"),
        (connect_mongo, "mongodb://me:h%unter2@h/", "PIPELINE_MONGO_URL"),
        (connect_mongo, "http://me:hunter2@h/", "PIPELINE_MONGO_URL"),
        (connect_mongo, "mongodb://me:hunter2@h:0/?hunter2=1", "PIPELINE_MONGO_URL"),
    ],
)
def test_a_wrong_address_is_told_without_its_secret(
    connect: Callable[[str], object], url: str, setting: str
) -> None:
    """As a wrong setting, which is named; not even the traceback holds a part of it."""
    with pytest.raises(SettingError, match=setting) as raised:
        connect(url)
    said = "".join(traceback.format_exception(raised.value))
    # The source line of this very test is no part of what the error says.
    assert not [part for part in ("hun/", "ter2", "%u") if part in str(raised.value)]
    assert "hunter2" not in said
    assert "ter2@" not in said


@pytest.mark.parametrize("variable", ["PIPELINE_REDIS_URL", "PIPELINE_MONGO_URL"])
def test_a_wrong_address_is_a_fault_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """No server is missing, so trying again later does not help."""
    monkeypatch.setenv("PIPELINE_MONGO_URL", MONGO)
    monkeypatch.setenv("PIPELINE_REDIS_URL", REDIS)
    if variable == "PIPELINE_REDIS_URL":
        monkeypatch.setattr("workers.bootstrap.Store", lambda *_: _Nothing())
        monkeypatch.setattr("workers.bootstrap.connect", lambda _url: None)
    done = CommandLine(tables)("status")
    assert done.exit_code == Exit.USAGE, done.output
    assert variable in done.output
    assert "hun" not in done.output
    assert "ter2" not in done.output


class _Nothing:
    """A store that is only closed."""

    def close(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "mongodb://u:pw1@h1/ failed, tried mongodb://u:pw2@h2/",
            "mongodb://u:***@h1/ failed, tried mongodb://u:***@h2/",
        ),
        (
            "no answer ('redis://:pw1@h1', 'rediss://u:p@w2@h2:6380/0')",
            "no answer ('redis://:***@h1', 'rediss://u:***@h2:6380/0')",
        ),
        ("url=redis://u:pw@h and redis://h:6379", "url=redis://u:***@h and redis://h:6379"),
        ("redis://u:a://b@h", "redis://u:***@h"),
        ("no address at all: [Errno 111]", "no address at all: [Errno 111]"),
    ],
)
def test_every_address_of_a_text_is_masked(text: str, shown: str) -> None:
    """Also where a password looks like an address itself."""
    assert without_secret(text) == shown


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[str, Any]]]:
    """Give what reads the one line of a log that is configured as in our processes."""
    before = structlog.get_config()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("info", process="test")
    yield lambda: json.loads(stream.getvalue())
    structlog.contextvars.unbind_contextvars("process")
    structlog.configure(**before)


def test_a_logged_exception_holds_no_locals(logged: Callable[[], dict[str, Any]]) -> None:
    """They are what customers sent, and addresses with passwords."""

    def handler(payload: dict[str, str], servers: Servers) -> None:
        raise ValueError(f"{len(payload)} fields, {servers is None}")

    try:
        handler({"email": "someone@" + "example.org"}, Servers("mongodb://u:pw" + "2@h/", ""))
    except ValueError:
        structlog.get_logger().exception("job_failed")
    line = logged()
    assert "someone@example.org" not in str(line)
    assert "pw2" not in str(line)
    (raised,) = line["exception"]
    assert raised["exc_value"] == "1 fields, False"
    assert [frame["name"] for frame in raised["frames"]][-1] == "handler"
