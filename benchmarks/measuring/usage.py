"""Processor time and memory of processes, sampled from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

import psutil

from benchmarks.results import Usage

MEBIBYTE: Final = 1024 * 1024
EVERY_SECONDS: Final = 0.2


@dataclass(slots=True)
class _Seen:
    """What is known of one name's processes: one follows the other when it is started anew."""

    cpu_before: float
    cpu: float
    cpu_gone: float
    rss: list[int]
    pid: int


class Sampler:
    """Samples processes between entering and leaving.

    Args:
        pids: the process ids by name, asked again and again: processes come and go.
    """

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self._seen: dict[str, _Seen] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def usage(self) -> list[Usage]:
        """What each took, by name."""
        return [
            Usage(
                process=name,
                cpu_seconds=round(max(0.0, seen.cpu_gone + seen.cpu - seen.cpu_before), 3),
                rss_mib_start=round(seen.rss[0] / MEBIBYTE, 1),
                rss_mib_max=round(max(seen.rss) / MEBIBYTE, 1),
                rss_mib_end=round(seen.rss[-1] / MEBIBYTE, 1),
            )
            for name, seen in sorted(self._seen.items())
        ]

    def _run(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self._look()

    def _look(self) -> None:
        for name, pid in self._pids().items():
            try:
                process = psutil.Process(pid)
                times, rss = process.cpu_times(), process.memory_info().rss
            except psutil.Error:  # it has just ended; its last sample counts
                continue
            cpu = times.user + times.system
            seen = self._seen.get(name)
            if seen is None:
                self._seen[name] = _Seen(cpu, cpu, 0.0, [rss], pid)
                continue
            if seen.pid != pid:
                seen.cpu_gone += seen.cpu
                seen.pid = pid
            seen.cpu = cpu
            seen.rss.append(rss)
