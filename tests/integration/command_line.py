"""The command line as a person and a program use it, within the process of a test."""

import json
from types import ModuleType
from typing import Any

import pytest
import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from workers.cli.context import Exit

HANDLERS = "tests.integration.sample_handlers"


class CommandLine:
    """Some commands.

    Args:
        modules: of `workers.cli`, whose commands there are.
    """

    def __init__(self, *modules: ModuleType) -> None:
        self._app = typer.Typer()
        for module in modules:
            module.register(self._app)

    def __call__(self, *arguments: str, said: str = "") -> Result:
        """Run one command; `said` is what the person types."""
        with capture_logs():
            # The real command line sends them elsewhere; see the test of the process.
            return CliRunner().invoke(self._app, arguments, input=said)

    def text(self, *arguments: str, said: str = "") -> str:
        """What one command that succeeds prints, in single spaces."""
        done = self(*arguments, said=said)
        assert done.exit_code == Exit.OK, done.output
        return " ".join(done.output.split())

    def json(self, *arguments: str) -> Any:
        """Run one command with --json and read what it printed."""
        done = self(*arguments, "--json")
        assert done.exit_code == Exit.OK, done.output
        return json.loads(done.stdout)


def find_servers(
    monkeypatch: pytest.MonkeyPatch, mongo_url: str, redis_url: str, database: str
) -> None:
    """Let the commands find the servers of the tests and the sample handlers."""
    monkeypatch.setenv("PIPELINE_MONGO_URL", mongo_url)
    monkeypatch.setenv("PIPELINE_REDIS_URL", redis_url)
    monkeypatch.setenv("PIPELINE_DATABASE", database)
    monkeypatch.setenv("PIPELINE_HANDLERS", HANDLERS)
    monkeypatch.setenv("COLUMNS", "200")
