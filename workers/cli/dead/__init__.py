"""Commands about dead letters: look at them, put them back to work, or give them up."""

from workers.cli.dead.commands import register

__all__ = ["register"]
