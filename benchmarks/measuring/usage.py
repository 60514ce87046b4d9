"""Processor time and memory of processes, sampled from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import psutil

from benchmarks.results import Usage

MEBIBYTE: Final = 1024 * 1024
EVERY_SECONDS: Final = 1.0
"""Finding all that a process has started takes a look at every process of the machine."""


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
        families: the same of processes that are taken together with all they have started;
            memory that these share is counted in each of them.
    """

    def __init__(
        self,
        pids: Callable[[], Mapping[str, int]],
        families: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._pids = pids
        self._families = families
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
            self._note(name, pid, _of_itself)
        for name, pid in self._families().items():
            self._note(name, pid, _of_its_family)

    def _note(self, name: str, pid: int, taken: Callable[[psutil.Process], _Taken]) -> None:
        try:
            cpu, rss = taken(psutil.Process(pid))
        except psutil.Error:  # it has just ended; its last sample counts
            return
        seen = self._seen.get(name)
        if seen is None:
            self._seen[name] = _Seen(cpu, cpu, 0.0, [rss], pid)
            return
        if seen.pid != pid:
            seen.cpu_gone += seen.cpu
            seen.pid = pid
        seen.cpu = cpu
        seen.rss.append(rss)


class _Taken(NamedTuple):
    """Seconds of processor time, and bytes of memory."""

    cpu: float
    rss: int


def _of_itself(process: psutil.Process) -> _Taken:
    times = process.cpu_times()
    return _Taken(times.user + times.system, process.memory_info().rss)


def _of_its_family(process: psutil.Process) -> _Taken:
    """Of a process and all below it; one that has ended is in the times of who waited for it."""
    cpu, rss = _of_itself(process)
    cpu += _of_the_ended(process)
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            taken = _of_itself(child)
            cpu, rss = cpu + taken.cpu + _of_the_ended(child), rss + taken.rss
    return _Taken(cpu, rss)


def _of_the_ended(process: psutil.Process) -> float:
    times = process.cpu_times()  # not every system tells
    return getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
