"""Modules that need the packages of the extra `bench`: loaded when they are first used.

The command line has them all in its reach, and most commands of it need none of them: numpy,
scipy and matplotlib take longer to load than these take to run.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from workers.cli.context import Exit, fail


class Lazy:
    """Stands for a module; its first use loads it, and ends the command where a package is missing.

    Args:
        name: of the module, in full.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, wanted: str) -> Any:
        try:
            return getattr(import_module(self._name), wanted)
        except ModuleNotFoundError as error:
            fail(f"{error.name} is missing; pip install 'event-pipeline[bench]'", Exit.USAGE)
