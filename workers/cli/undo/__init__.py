"""Commands that take an event back, and that bring it back again."""

from workers.cli.undo.commands import register

__all__ = ["register"]
