"""Where it is measured: the machine, the versions, and how durable the servers' answers are."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil
from pymongo import MongoClient
from redis import Redis

from benchmarks.results import Environment
from pipeline.queue import connect as connect_redis
from pipeline.revision import ROOT, git
from pipeline.store import connect
from workers.bootstrap import Servers

GIBIBYTE: Final = 1024**3
PACKAGES: Final = ("rq", "redis", "pymongo", "pydantic")


def environment(where: Servers) -> Environment:
    """What a reader has to know of the place where something was measured."""
    with connect(where.mongo_url) as client, connect_redis(where.redis_url) as redis:
        return Environment(
            system=platform.platform(),
            cpu=_cpu_model(),
            cores=os.cpu_count() or 1,
            memory_gib=round(psutil.virtual_memory().total / GIBIBYTE, 1),
            load_before=round(os.getloadavg()[0], 2),
            versions={
                "python": platform.python_version(),
                "mongod": str(client.server_info()["version"]),
                "redis-server": str(redis.info("server")["redis_version"]),
                **{name: version(name) for name in PACKAGES},
            },
            revision=_revision(),
            write_concern=_write_concern(client),
            redis_durability=_redis_durability(redis),
        )


def _write_concern(client: MongoClient[dict[str, Any]]) -> str:
    members = client.admin.command("replSetGetConfig")["config"]["members"]
    return f"majority, journaled, {len(members)} member{'s' if len(members) > 1 else ''}"


def _redis_durability(redis: Redis) -> str:
    appending: Any = redis.config_get("append*")
    if appending.get("appendonly") != "yes":
        return "memory only"
    return f"appendonly {appending.get('appendfsync', '?')}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _revision() -> str | None:
    """The git revision, with `+` where files differ from it; None outside a repository."""
    head = git(ROOT, "rev-parse", "HEAD")
    return f"{head}+" if head and git(ROOT, "status", "--porcelain") else head
