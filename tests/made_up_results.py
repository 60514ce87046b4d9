"""Benchmark results that nobody measured, with ratios that are known."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.results import (
    Cost,
    Environment,
    Latency,
    Load,
    Percentiles,
    Reliability,
    Result,
    Run,
    Usage,
)

BEGAN = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SPEEDS = {"pipeline": 3000, "rq": 450, "celery": 900, "bullmq": 1500, "pymongo": 12000}
PROMISES = {
    "pipeline": ["Effects on MongoDB exactly once", "Events of one document in their order"],
    "celery": ["At least once with late acknowledgement"],
    "rq": ["At most once when a worker is killed"],
}


def environment(**fields: Any) -> Environment:
    """A quiet machine, unless told otherwise."""
    values: dict[str, Any] = {
        "system": "Linux 6.8",
        "cpu": "Some Processor",
        "cores": 4,
        "memory_gib": 16,
        "load_before": 0.2,
        "versions": {"python": "3.11.9", "mongod": "6.0.5", "redis-server": "6.2.9"},
        "revision": "d864a07",
        "write_concern": "majority, journaled, 1 member",
        "redis_durability": "appendonly everysec",
    }
    return Environment(**(values | fields))


def run(rate: float = 1000, *, sent: int | None = None, **fields: Any) -> Run:
    """A bulk run at a rate: of so many events, or of 10 seconds."""
    seconds = 10 if sent is None else sent / rate
    sent = round(rate * 10) if sent is None else sent
    values: dict[str, Any] = {
        "scenario": "main",
        "load": Load.BULK,
        "workers": 2,
        "seed": 1,
        "began_at": BEGAN,
        "seconds": seconds,
        "events": sent,
        "sent": sent,
    }
    return Run(**(values | fields))


def times(p50: float, p99: float, count: int = 100) -> Percentiles:
    """A distribution with two known points."""
    return Percentiles(
        count=count,
        mean=p50,
        p50=p50,
        p90=p50 + (p99 - p50) / 3,
        p95=p50 + (p99 - p50) / 2,
        p99=p99,
        p999=p99 * 1.5,
        max=p99 * 2,
    )


def at_rate(rate: float, p50: float = 10, p99: float = 40, **fields: Any) -> Run:
    """An open run at an offered rate."""
    values: dict[str, Any] = {
        "scenario": "single",
        "load": Load.OPEN,
        "variant": {"rate": rate},
        "offered_per_second": rate,
        "latency": Latency(end_to_end=times(p50, p99)),
    }
    return run(rate, **(values | fields))


def result(*runs: Run, **fields: Any) -> Result:
    """Runs with an environment."""
    values: dict[str, Any] = {
        "name": "made up",
        "began_at": BEGAN,
        "ended_at": BEGAN + timedelta(hours=1),
        "environment": environment(),
    }
    return Result(**(values | fields), runs=list(runs))


def realistic(seed: int = 7) -> Result:
    """Peers, workers, rates and a switch, five repeats of each."""
    return result(*_realistic(random.Random(seed)), environment=environment(load_before=2.7))


def _realistic(draw: random.Random) -> Iterator[Run]:
    for repeat in range(1, 6):
        machine = draw.uniform(0.9, 1.1)
        for subject, speed in SPEEDS.items():
            rate = speed * machine * draw.uniform(0.97, 1.03)
            yield run(
                rate, scenario="peers", subject=subject, repeat=repeat, **_details(draw, subject)
            )
            for offered in (50, 200, 1000):
                yield _single(draw, subject, offered, repeat)
        for workers in (1, 2, 4, 8):
            rate = 1500 * min(workers, 4) ** 0.9 * machine * draw.uniform(0.97, 1.03)
            yield run(
                rate,
                scenario="workers",
                variant={"workers": workers},
                workers=workers,
                repeat=repeat,
                passed=workers < 8 or repeat > 2,
                **_details(draw, "pipeline"),
            )
            for locks in (False, True):
                yield run(
                    rate * (0.94 if locks else 1) * draw.uniform(0.99, 1.01),
                    scenario="locks",
                    variant={"workers": workers, "locks": locks},
                    workers=workers,
                    repeat=repeat,
                )
        for size in (200, 2_000, 20_000):
            yield run(
                3000 / (1 + size / 9000) * machine,
                scenario="payload",
                variant={"payload_bytes": size},
                repeat=repeat,
            )
    yield run(2800, scenario="disorder", variant={"late": 0.1}, notes=["A tenth came late."])
    yield run(2900, scenario="disorder", variant={"late": 0.0})


def _single(draw: random.Random, subject: str, offered: int, repeat: int) -> Run:
    room = SPEEDS[subject] / 10 / offered
    behind = max(0, round(offered * 10 * (1 - room))) if subject == "rq" else 0
    p50 = draw.uniform(8, 12) * (1 + 1 / room) if not behind else 4_000.0
    shares = _details(draw, subject)
    shares["latency"] = Latency(
        wait=times(p50 * 0.6, p50 * 3), run=times(p50 * 0.4, p50), end_to_end=times(p50, p50 * 4)
    )
    return at_rate(
        offered,
        subject=subject,
        repeat=repeat,
        backlog=behind or draw.randrange(4),
        passed=None if subject != "pipeline" else offered < 1000,
        **shares,
    )


def _details(draw: random.Random, subject: str) -> dict[str, Any]:
    lost = 3 if subject == "rq" and draw.random() < 0.2 else 0
    return {
        "usage": [
            Usage(
                process=f"{subject}-{number}",
                cpu_seconds=draw.uniform(7, 9),
                rss_mib_start=90,
                rss_mib_max=draw.uniform(110, 130),
                rss_mib_end=108,
            )
            for number in (1, 2)
        ],
        "cost": Cost(
            redis_commands=40_000,
            redis_bytes=9_000_000,
            mongodb_operations={"insert": 9_000, "update": 4_000, "query": 6_000},
            mongodb_bytes=80_000_000,
        ),
        "reliability": Reliability(
            errors=0, retries=draw.randrange(3), dead=0, late=0, duplicates=12, lost=lost, doubled=0
        )
        if subject != "pymongo"
        else Reliability(),
        "settings": {"batch_size": 500} if subject == "pipeline" else {},
    }
