"""Processes of the product, run by tests."""

import os
import subprocess
import sys
from collections.abc import Sequence


def environment(mongo_url: str, redis_url: str, **settings: object) -> dict[str, str]:
    """What a process needs to find these servers; settings go by their names, in small letters."""
    named = {"mongo_url": mongo_url, "redis_url": redis_url} | settings
    return os.environ | {f"PIPELINE_{name.upper()}": str(value) for name, value in named.items()}


def ended(command: Sequence[str], where: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of the product to its end."""
    return subprocess.run(
        [sys.executable, "-m", "workers", *command],
        env=where,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
