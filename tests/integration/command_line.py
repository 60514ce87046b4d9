"""The command line as a person and a program use it, within the process of a test."""

import json
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from workers.cli.context import Exit


class CommandLine:
    """Some commands.

    Args:
        modules: of `workers.cli`, whose commands there are.
        prefix: what every command begins with.
    """

    def __init__(self, *modules: ModuleType, prefix: Sequence[str] = ()) -> None:
        self._prefix = prefix
        self._app = typer.Typer()
        self._app.callback()(lambda: None)
        for module in modules:
            module.register(self._app)

    def __call__(self, *arguments: str, said: str = "") -> Result:
        """Run one command; `said` is what the person types."""
        with capture_logs():
            # The real command line sends them elsewhere; see the test of the process.
            return CliRunner().invoke(self._app, [*self._prefix, *arguments], input=said)

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
