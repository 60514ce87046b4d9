"""The supervisor: starts processes, restarts those that end, and stops them in order.

Stopping is quiet, deadline, kill: SIGTERM lets a process finish the batch it has begun;
what has not ended by the deadline is killed. A killed batch is not lost, it is run again.
What is to be done about a process is decided in `supervision`; here it is done.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import structlog

from pipeline.clock import Clock
from pipeline.declarations import Lane
from workers.children import start_child
from workers.supervision import CRASHES, Action, History, Phase
from workers.tail import last_lines

DRAIN_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 1.0
"""How often memory is looked at."""
POLL_SECONDS: Final = 0.05
LOG_BYTES: Final = 16 * 1024 * 1024
"""A log that is longer is put aside at the next start, and the one put aside before is dropped."""
TOLD_LINES: Final = 10
MEBIBYTE: Final = 1024 * 1024

UNAVAILABLE: Final = 4
"""The exit status of a process that says a server is away; see `workers.cli.context.Exit`."""

log = structlog.get_logger(__name__)


@dataclass
class _Child:
    """One supervised process."""

    name: str
    arguments: list[str]
    ceiling_mib: int | None
    log: Path
    history: History = field(default_factory=History)
    process: subprocess.Popen[bytes] | None = None
    memory_mib: int = 0
    last_line: str = ""


@dataclass(frozen=True, slots=True)
class ChildView:
    """A supervised process as it stands.

    Attributes:
        name: its name.
        pid: its process id; None while it does not run.
        phase: where it stands.
        looping: whether it is in a crash loop.
        words: how it stands, for people.
        last_line: what it said last before it failed; empty while it is well.
    """

    name: str
    pid: int | None
    phase: Phase
    looping: bool
    words: str
    last_line: str


class Supervisor:
    """Keeps processes of `pipeline` running; they end with the process that it is in.

    Args:
        clock: for pauses and deadlines.
        logs: folder for each process's log file.
        environment: added to ours; secrets go here and never into arguments.
        drain_seconds: how long a process may take for what it has begun when it is told to end.
    """

    def __init__(
        self,
        clock: Clock,
        logs: Path,
        environment: Mapping[str, str],
        *,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self._clock = clock
        self._logs = logs
        self._environment = {**os.environ, **environment}
        self._drain_seconds = drain_seconds
        self._children: list[_Child] = []
        self._killed: list[str] = []
        self._looked = -LOOK_SECONDS
        logs.mkdir(parents=True, exist_ok=True)

    def add(
        self, name: str, *arguments: str, module: str = "workers", ceiling_mib: int | None = None
    ) -> None:
        """Supervise `python -m <module> <arguments>` under this name, from the next `tend` on.

        Args:
            name: its name, also of its log.
            arguments: what follows the module.
            module: what is run.
            ceiling_mib: resident memory above which it is told to end and started again.
        """
        where = self._logs / f"{name}.log"
        self._children.append(_Child(name, ["-m", module, *arguments], ceiling_mib, where))

    def add_workers(
        self, count: int, *, ceiling_mib: int | None = None, first_port: int = 0
    ) -> None:
        """Supervise workers, which look at each lane first in turn.

        Args:
            count: how many.
            ceiling_mib: as in `add`.
            first_port: on which the first of them serves metrics; each other has the next. 0
                for none.

        Were all of them to look at the same lane first, they would often add to the same
        totals at once, and one of two such transactions is run in vain.
        """
        lanes = list(Lane)
        for number in range(1, count + 1):
            lane = lanes[(number - 1) % len(lanes)]
            name = f"worker-{number}"
            arguments = ["worker", "--name", name, "--first", lane]
            arguments += ["--metrics-port", str(first_port + number - 1 if first_port else 0)]
            self.add(name, *arguments, ceiling_mib=ceiling_mib)

    def tend(self) -> None:
        """Do what is due; never waits. Call it again and again."""
        now = self._clock.monotonic()
        looking = now - self._looked >= LOOK_SECONDS
        if looking:
            self._looked = now
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._note_end(child, child.process, now)
            if looking and child.process is not None and child.ceiling_mib is not None:
                child.memory_mib = _resident_mib(child.process.pid)
            self._act(child, now)

    def quiet(self, deadline: float | None = None) -> None:
        """Tell all processes to finish what they have begun and end; none is started any more.

        Those that have not ended by the deadline are killed by a later `tend`. Doing it again
        can bring the deadline nearer, and does not disturb who has been told.

        Args:
            deadline: seconds until they are killed; `drain_seconds` where not given.
        """
        seconds = self._drain_seconds if deadline is None else deadline
        now = self._clock.monotonic()
        for child in self._children:
            # One that is being recycled has been told, and a second SIGTERM breaks its batch off.
            if child.process is not None and child.history.phase is Phase.RUNNING:
                child.process.terminate()
            child.history = child.history.drained(now + seconds)
            if child.process is None and child.history.phase is Phase.DRAINING:
                # We were interrupted while we started it. If it runs, it ends when we do.
                child.history = child.history.ended(now)

    def kill(self) -> None:
        """Kill all processes now; the batches they have begun are run again some day."""
        self.quiet(0.0)
        self.tend()

    def ended(self) -> bool:
        """Whether all processes have ended for good."""
        return all(child.history.phase is Phase.ENDED for child in self._children)

    def stop(self, deadline: float | None = None) -> list[str]:
        """Stop everything in order and wait for it.

        Args:
            deadline: seconds until what still runs is killed; `drain_seconds` where not given.

        Returns:
            Names of the processes that had to be killed.
        """
        self.quiet(deadline)
        self.tend()
        while not self.ended():
            time.sleep(POLL_SECONDS)
            self.tend()
        return list(self._killed)

    def pids(self) -> dict[str, int]:
        """Process ids of what is running, by name."""
        return {
            child.name: child.process.pid
            for child in self._children
            if child.process is not None and child.process.poll() is None
        }

    def children(self) -> list[ChildView]:
        """How each process stands, in the order they were added."""
        now = self._clock.monotonic()
        return [
            ChildView(
                name=child.name,
                pid=child.process.pid if child.process is not None else None,
                phase=child.history.phase,
                looping=child.history.looping,
                words=child.history.words(now),
                last_line=child.last_line,
            )
            for child in self._children
        ]

    def _act(self, child: _Child, now: float) -> None:
        too_big = child.ceiling_mib is not None and child.memory_mib > child.ceiling_mib
        action = child.history.decide(now, too_big=too_big)
        if action is Action.START:
            self._start(child, now)
        elif action is Action.SETTLE:
            if child.history.looping:
                log.warning("crash_loop_over", child=child.name)
            child.history, child.last_line = child.history.settled(), ""
        elif child.process is not None and action is Action.RECYCLE:
            child.history = child.history.recycled(now + self._drain_seconds)
            child.process.terminate()
        elif child.process is not None and action is Action.KILL:
            log.warning("process_killed", child=child.name, pid=child.process.pid)
            child.history = child.history.killed()
            child.process.kill()
            self._killed.append(child.name)

    def _start(self, child: _Child, now: float) -> None:
        child.history, child.memory_mib = child.history.started(now), 0
        try:
            if child.log.exists() and child.log.stat().st_size > LOG_BYTES:
                child.log.replace(child.log.with_suffix(".log.1"))
            command = [sys.executable, *child.arguments]
            child.process = start_child(command, log=child.log, environment=self._environment)
        except OSError as error:  # no process, descriptor or disk left: it may get better
            self._note_failure(child, now, f"it cannot be started: {error}")
        else:
            log.info("process_started", child=child.name, pid=child.process.pid)

    def _note_end(self, child: _Child, process: subprocess.Popen[bytes], now: float) -> None:
        child.process = None
        phase, lived = child.history.phase, round(now - child.history.since, 3)
        if phase is Phase.RUNNING:
            said = last_lines(child.log, 1)
            self._note_failure(child, now, said[0] if said else "", process.returncode)
            return
        child.history = child.history.ended(now)
        if phase is Phase.RECYCLING:
            log.warning(
                "worker_recycled",
                child=child.name,
                status=process.returncode,
                seconds=lived,
                memory_mib=child.memory_mib,
                ceiling_mib=child.ceiling_mib,
            )

    def _note_failure(
        self, child: _Child, now: float, reason: str, status: int | None = None
    ) -> None:
        child.history = child.history.ended(now, unavailable=status == UNAVAILABLE)
        child.last_line = reason
        failures, pause = child.history.failures, child.history.due - now
        log.warning(
            "process_ended", child=child.name, status=status, failures=failures, pause=pause
        )
        if failures == CRASHES:
            lines = last_lines(child.log, TOLD_LINES)
            log.error("crash_loop", child=child.name, status=status, pause=pause, lines=lines)


def _resident_mib(pid: int) -> int:
    """Resident memory of a process; 0 when it has just ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss) // MEBIBYTE
    except psutil.Error:
        return 0
