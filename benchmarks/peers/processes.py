"""A peer's processes: each ends with this one, and whatever it has started ends with it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from workers.children import start_child
from workers.tail import last_lines

END_SECONDS: Final = 10.0
"""So long a process may take to end when it is told to; then it is killed."""
TOLD_LINES: Final = 5


class PeerEndedError(Exception):
    """A process of a peer has ended by itself."""


class PeerSlowError(Exception):
    """A peer's workers did not begin to work in time, or do nothing any more."""


class Processes:
    """Processes that are started together and ended together.

    Args:
        logs: folder for their logs, which is made.
    """

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start one.

        Args:
            name: its name, also of its log.
            command: program, by its path, and arguments.
            environment: its environment; secrets go here and never into arguments.
        """
        log = self._log(name)
        self._running[name] = start_child(command, log=log, environment=environment)

    def pids(self) -> dict[str, int]:
        """Process ids of those that run, by name; what they started is below them."""
        return {name: one.pid for name, one in self._running.items() if one.poll() is None}

    def check(self) -> None:
        """See that all of them run.

        Raises:
            PeerEndedError: one has ended; with the last that it said.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                said = " / ".join(last_lines(self._log(name), TOLD_LINES))
                raise PeerEndedError(f"{name} has ended with {process.returncode}: {said}")

    def stop(self) -> None:
        """End all of them, and whatever they have started; returns when none is left."""
        below = [child for one in self._running.values() for child in _below(one.pid)]
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        for process in self._running.values():
            below += _below(process.pid)
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for process in self._running.values():
            below += _below(process.pid)
            process.kill()
            process.wait()
        # A child may have left its parent's process group, so each is ended by itself; psutil
        # knows a process from another that has got its number.
        for child in below:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(below, timeout=END_SECONDS)
        self._running.clear()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def _below(pid: int) -> list[psutil.Process]:
    """All that a process has started, and what those have."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []
