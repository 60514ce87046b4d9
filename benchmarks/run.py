"""`make bench`: run the scenarios, write their figures as JSON, show them as a table."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import psutil
import typer
from redis import Redis
from rich.console import Console
from rich.table import Table

from benchmarks.drift import beside, verify
from benchmarks.feeding import StalledError
from benchmarks.guarantees import locks, rescue
from benchmarks.main_job import Bench, Options, latency, redis_memory, throughput
from benchmarks.places import PlaceTakenError, claim_folder
from benchmarks.replaying import replaying
from pipeline.settings import Settings
from pipeline.store import connect
from workers import logs
from workers.bootstrap import Servers, process_name, servers
from workers.cli.context import explained

RESULTS: Final = Path(__file__).parent / "results"
HANDLERS: Final = "handlers.appointments"
GIBIBYTE: Final = 1024**3
PACKAGES: Final = ("rq", "redis", "pymongo", "pydantic")
INTERRUPTED: Final = 130

out = Console()


class Only(StrEnum):
    """The scenarios, by name."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    REDIS = "redis"
    LOCKS = "locks"
    RESCUE = "rescue"
    VERIFY = "verify"
    BESIDE = "beside"
    REPLAY = "replay"


SCENARIOS: Final = {
    Only.THROUGHPUT: throughput,
    Only.LATENCY: latency,
    Only.REDIS: redis_memory,
    Only.LOCKS: locks,
    Only.RESCUE: rescue,
    Only.VERIFY: verify,
    Only.BESIDE: beside,
    Only.REPLAY: replaying,
}


def main(
    only: Annotated[Only | None, typer.Option(help="Run one scenario.")] = None,
    events: Annotated[int, typer.Option(help="Events of a throughput run.", min=500)] = 60_000,
    repeat: Annotated[int, typer.Option(help="Throughput runs; the median counts.", min=1)] = 3,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Where to write; benchmarks/results/<time>.json unless given."),
    ] = None,
) -> None:
    """Measure the main job on this machine. Figures of different machines don't compare."""
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    logs.configure("warning", process=process_name("bench"))
    names = [only] if only else list(Only)
    try:
        with explained():
            result = _measure(names, Options(events, repeat))
    except (PlaceTakenError, StalledError) as error:
        sys.stderr.write(f"bench: {error}\n")
        raise typer.Exit(1 if isinstance(error, StalledError) else 2) from None
    except KeyboardInterrupt:
        out.print("ended; all processes are stopped", highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    target = json_file or RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")
    _show(result)
    out.print(f"written to {target}", highlight=False, soft_wrap=True)


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _measure(names: list[Only], options: Options) -> dict[str, Any]:
    settings = Settings()
    folder = settings.data_dir / "bench"
    claim_folder(folder, wipe=True)
    changes = {
        "data_dir": folder,
        "log_level": "warning",
        "handlers": [HANDLERS],
    }
    settings = settings.model_copy(update=changes)
    with servers(settings) as where:
        result: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": _machine(),
            "versions": _versions(where),
            "revision": _revision(),
            "settings": {
                "workers": settings.workers,
                "batch_size": settings.batch_size,
                "events": options.events,
                "repeat": options.repeat,
            },
            "figures": {},
        }
        for name in names:
            out.print(f"{name} …", highlight=False)
            result["figures"][name.value] = SCENARIOS[name](Bench(settings, where), options)
    return result


def _machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / GIBIBYTE, 1),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _versions(where: Servers) -> dict[str, str]:
    with connect(where.mongo_url) as client, Redis.from_url(where.redis_url) as redis:
        found = {
            "python": platform.python_version(),
            "mongod": str(client.server_info()["version"]),
            "redis-server": str(redis.info("server")["redis_version"]),
        }
    return found | {name: version(name) for name in PACKAGES}


def _revision() -> str | None:
    """The git revision, with `+` where files differ from it; None outside a repository."""
    git = shutil.which("git")
    if git is None:
        return None

    def said(*arguments: str) -> str | None:
        done = subprocess.run(
            [git, *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.stdout.strip() if done.returncode == 0 else None

    head = said("rev-parse", "HEAD")
    return f"{head}+" if head and said("status", "--porcelain") else head


def _show(result: dict[str, Any]) -> None:
    machine = result["machine"]
    table = Table(
        "scenario",
        "figure",
        "value",
        title=f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"load before {machine['load_before'][0]}",
        title_justify="left",
    )
    table.columns[2].justify = "right"
    for name, figures in result["figures"].items():
        for figure, value in _lines(figures):
            table.add_row(name, figure, f"{value:,}")
    out.print(table)


def _lines(figures: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The plain figures, and the memory of the last run's workers."""
    for figure, value in figures.items():
        if isinstance(value, int | float):
            yield figure, value
    if figures.get("runs"):
        yield "runs", len(figures["runs"])
        for worker, memory in figures["runs"][-1]["worker_rss_mib"].items():
            for moment, mebibytes in memory.items():
                yield f"{worker} RSS {moment}, MiB", mebibytes


if __name__ == "__main__":
    typer.run(main)
