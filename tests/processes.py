"""Processes of the product, run by tests."""

import os
import subprocess
import sys
from collections.abc import Sequence

from workers.bootstrap import Application


def environment(mongo_url: str, redis_url: str, **settings: object) -> dict[str, str]:
    """What a process needs to find these servers; settings go by their names, in small letters."""
    named = {"mongo_url": mongo_url, "redis_url": redis_url} | settings
    return os.environ | {f"PIPELINE_{name.upper()}": str(value) for name, value in named.items()}


def environment_of(app: Application, **settings: object) -> dict[str, str]:
    """What a process needs to work beside an application: its servers, database and handlers."""
    where = app.settings
    assert where.mongo_url is not None
    assert where.redis_url is not None
    return environment(
        where.mongo_url.get_secret_value(),
        where.redis_url.get_secret_value(),
        **{"database": where.database, "handlers": ",".join(where.handlers)} | settings,
    )


def ended(
    command: Sequence[str], where: dict[str, str], seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command of the product to its end, which has to come within so many seconds."""
    return subprocess.run(
        [sys.executable, "-m", "workers", *command],
        env=where,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
