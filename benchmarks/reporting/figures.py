"""What is read off one run: each figure by name, with its unit and which way is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.results import Percentiles, Run

MILLISECONDS: Final = 1000
LATENCIES: Final = ("p50", "p90", "p95", "p99", "p999", "max")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a run has, or has not: then reading it gives None.

    Attributes:
        name: as a column is headed.
        unit: as an axis is labelled.
        read: takes it from a run.
    """

    name: str
    unit: str
    read: Callable[[Run], float | None]


def _latency(part: str, name: str) -> Figure:
    def read(run: Run) -> float | None:
        found: Percentiles | None = getattr(run.latency, part, None)
        return None if found is None else float(getattr(found, name))

    shown = {"p999": "p99.9"}.get(name, name)
    return Figure(shown if part == "end_to_end" else f"{part} {shown}", "ms", read)


def _an_event(name: str, unit: str, total: Callable[[Run], float | None]) -> Figure:
    def read(run: Run) -> float | None:
        found = total(run)
        return None if found is None or not run.sent else found / run.sent

    return Figure(name, unit, read)


def _cpu(run: Run) -> float | None:
    if not run.usage:
        return None
    return MILLISECONDS * sum(usage.cpu_seconds for usage in run.usage)


def _redis_commands(run: Run) -> float | None:
    return run.cost.redis_commands if run.cost.redis_bytes or run.cost.redis_commands else None


def _redis_bytes(run: Run) -> float | None:
    return run.cost.redis_bytes or None


def _mongodb_operations(run: Run) -> float | None:
    return sum(run.cost.mongodb_operations.values()) or None


def _mongodb_bytes(run: Run) -> float | None:
    return run.cost.mongodb_bytes or None


def _rate(run: Run) -> float | None:
    # What measured something else took as long as that took.
    return None if run.figures else run.per_second


def measured(name: str) -> Figure:
    """What a run measured besides, by its name."""
    return Figure(name, "", lambda run: run.figures.get(name))


def _memory(run: Run) -> float | None:
    return sum(usage.rss_mib_max for usage in run.usage) or None


def mongodb_operations(kind: str) -> Figure:
    """MongoDB operations of one kind an event."""

    def read(run: Run) -> float | None:
        return run.cost.mongodb_operations.get(kind)

    return _an_event(f"of them {kind}", "operations", read)


PER_SECOND: Final = Figure("events a second", "events a second", _rate)
SECONDS: Final = Figure("seconds", "s", lambda run: run.seconds)
BACKLOG: Final = Figure("backlog", "events", lambda run: run.backlog)
END_TO_END: Final = {name: _latency("end_to_end", name) for name in LATENCIES}
WAIT: Final = {name: _latency("wait", name) for name in ("p50", "p99")}
RUN: Final = {name: _latency("run", name) for name in ("p50", "p99")}
CPU: Final = _an_event("CPU ms an event", "ms", _cpu)
REDIS_COMMANDS: Final = _an_event("Redis commands", "commands", _redis_commands)
REDIS_BYTES: Final = _an_event("Redis bytes", "bytes", _redis_bytes)
MONGODB_OPERATIONS: Final = _an_event("MongoDB operations", "operations", _mongodb_operations)
MONGODB_BYTES: Final = _an_event("MongoDB bytes", "bytes", _mongodb_bytes)
MEMORY: Final = Figure("MiB at most, all processes", "MiB", _memory)
