"""The command line, `pipeline`: one module a group of commands."""

from workers.cli.main import main

__all__ = ["main"]
