"""The supervisor: starts processes, restarts those that end, and stops them in order.

Stopping is quiet, deadline, kill: SIGTERM lets a process finish the batch it has begun;
what has not ended by the deadline is killed. A killed batch is not lost, it is run again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.declarations import Lane

DEADLINE_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 30.0
"""A process that lived this long starts its backoff anew."""
LONGEST_PAUSE: Final = 30.0

log = structlog.get_logger(__name__)


@dataclass
class _Child:
    """One supervised process."""

    name: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float = field(default=0.0)


class Supervisor:
    """Keeps processes of `pipeline` running.

    Args:
        clock: for pauses and deadlines.
        logs: folder for each process's log file.
        environment: added to ours; secrets go here and never into arguments.
    """

    def __init__(self, clock: Clock, logs: Path, environment: Mapping[str, str]) -> None:
        self._clock = clock
        self._logs = logs
        self._environment = {**os.environ, **environment}
        self._children: list[_Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, *arguments: str, module: str = "workers") -> None:
        """Supervise `python -m <module> <arguments>` under this name, from the next `tend` on."""
        self._children.append(_Child(name, ["-m", module, *arguments]))

    def add_workers(self, count: int) -> None:
        """Supervise workers, which look at each lane first in turn.

        Were all of them to look at the same lane first, they would often add to the same
        totals at once, and one of two such transactions is run in vain.
        """
        lanes = list(Lane)
        for number in range(1, count + 1):
            lane = lanes[(number - 1) % len(lanes)]
            self.add(f"worker-{number}", "worker", "--name", f"worker-{number}", "--first", lane)

    def tend(self) -> None:
        """Start what is not running and whose pause is over; call it again and again."""
        now = self._clock.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._note_end(child, child.process.returncode, now)
            if child.process is None and now >= child.due:
                self._start(child, now)

    def pids(self) -> dict[str, int]:
        """Process ids of what is running, by name."""
        return {
            child.name: child.process.pid
            for child in self._children
            if child.process is not None and child.process.poll() is None
        }

    def stop(self, deadline: float = DEADLINE_SECONDS) -> list[str]:
        """Stop everything in order.

        Returns:
            Names of the processes that had to be killed.
        """
        running = {c.name: c.process for c in self._children if c.process is not None}
        for process in running.values():
            process.terminate()
        end = self._clock.monotonic() + deadline
        killed = []
        for name, process in running.items():
            try:
                process.wait(max(0.0, end - self._clock.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process_killed", child=name, pid=process.pid)
                process.kill()
                process.wait()
                killed.append(name)
        self._children.clear()
        return killed

    def _start(self, child: _Child, now: float) -> None:
        with (self._logs / f"{child.name}.log").open("ab") as output:
            child.process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, *child.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                # Ctrl-C in the terminal is for us; we tell the children when to stop.
                start_new_session=True,
            )
        child.started = now
        log.info("process_started", child=child.name, pid=child.process.pid)

    def _note_end(self, child: _Child, status: int, now: float) -> None:
        steady = now - child.started >= STEADY_SECONDS
        child.failures = 1 if steady else child.failures + 1
        pause = 0.0 if child.failures == 1 else min(LONGEST_PAUSE, 2.0 ** (child.failures - 2))
        child.process, child.due = None, now + pause
        log.warning(
            "process_ended", child=child.name, status=status, failures=child.failures, pause=pause
        )
