"""A process that is fed lines and ends with what feeds it: its input ends when we do."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from benchmarks.peers.processes import PeerEndedError, PeerSlowError

END_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 60.0
"""So long it may neither read nor write before we give it up."""
READ_BYTES: Final = 65_536


class Piped:
    """A running process that reads lines and writes lines.

    Args:
        command: program, by its path, and arguments.
        log: file that its errors are added to.
        environment: its environment.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,
                bufsize=0,
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise self._ended()
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        # Or a process that hangs would hold up who writes to it.
        os.set_blocking(self._input, False)
        self._read = b""
        self._writing = Lock()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Hand it a line; waits while it has not read the ones before.

        Raises:
            PeerEndedError: it has ended.
            PeerSlowError: it reads nothing.
        """
        rest = memoryview(line + b"\n")
        try:
            with self._writing:  # or lines of several threads would get into each other
                while rest:
                    self._ensure(select.select([], [self._input], [], PATIENCE_SECONDS)[1])
                    rest = rest[os.write(self._input, rest) :]
        except BrokenPipeError as error:
            raise self._ended() from error

    def answer(self) -> bytes:
        """The next line that it writes; waits for it.

        Raises:
            PeerEndedError: it has ended.
            PeerSlowError: it writes nothing.
        """
        while b"\n" not in self._read:
            self._ensure(select.select([self._output], [], [], PATIENCE_SECONDS)[0])
            part = os.read(self._output, READ_BYTES)
            if not part:
                raise self._ended()
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        return line

    def check(self) -> None:
        """See that it runs.

        Raises:
            PeerEndedError: it has ended.
        """
        if self._process.poll() is not None:
            raise self._ended()

    def stop(self) -> None:
        """End it: it finishes what it has read, and is killed if that takes long."""
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.communicate()

    def _ensure(self, ready: Sequence[int]) -> None:
        if not ready:
            raise PeerSlowError(
                f"{self._process.args!r} did nothing for {PATIENCE_SECONDS:g} s; "
                f"{self._log} may say why"
            )

    def _ended(self) -> PeerEndedError:
        return PeerEndedError(f"{self._process.args!r} has ended; {self._log} says why")
