"""What an embedded Redis and an embedded MongoDB share: one server, one folder, one address."""

import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from workers.embedded.errors import (
    EmbeddedError,
    FolderHeld,
    PortTaken,
    ServerFailed,
    ServerMissing,
)
from workers.embedded.process import (
    claim_folder,
    end,
    free_port,
    listens,
    orphaned,
    port_taken,
    spawn,
)
from workers.embedded.programs import Program
from workers.tail import tail

POLL = 0.02  # seconds between looks at a starting server
STOP_PATIENCE = 60.0  # seconds a server may take to write its data before it is killed
START_PATIENCE = 5.0  # the same for one whose start failed: it has nothing new to write
SPARE_PORTS = 3


@dataclass(frozen=True)
class Running:
    """A server as recorded in its folder; true only while that server answers.

    Attributes:
        pid: Its process; 0 once it is told to stop, when only the port is worth remembering.
        port: Where it listens on loopback.
        address: Its URL.
        owner: The process that started it.
    """

    pid: int
    port: int
    address: str
    owner: int


class EmbeddedServer(ABC):
    """A server on a data folder, started once and shared by all who name the folder.

    Used as `with EmbeddedRedis(data_dir) as url:`. If a server already works on the folder it is
    used and left running at the end; else one is started, and stopped at the end. A server ends
    with the process that started it (Linux). The port of the last run is used again if free.

    Args:
        data_dir: Folder of the embedded servers; this one works in a folder of its own inside.
        port: Loopback port; 0 takes the one of the last run, else any free one.
        start_timeout: Seconds to wait until the server answers.
    """

    label: ClassVar[str]
    folder_name: ClassVar[str]
    program: ClassVar[Program]
    parting: ClassVar[signal.Signals] = signal.SIGTERM
    """What ends the server when the process that started it is gone."""

    def __init__(self, data_dir: Path, *, port: int = 0, start_timeout: float = 60.0) -> None:
        self.folder = self._folder(data_dir)
        self.start_timeout = start_timeout
        self._wanted_port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._running: Running | None = None

    def __enter__(self) -> str:
        """Start, or find the running server; return its address."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server if it was started here."""
        self.stop()

    @classmethod
    def running_address(cls, data_dir: Path) -> str | None:
        """Return the address of the server that works on the folder now, or None."""
        found = cls._find_running(cls._folder(data_dir))
        return found.address if found else None

    @classmethod
    def running_pid(cls, data_dir: Path) -> int | None:
        """Process id of the server that works on the folder now, or None."""
        found = cls._find_running(cls._folder(data_dir))
        return found.pid if found else None

    @property
    def address(self) -> str:
        """URL of the server, also while it is down between `kill` and `restart`."""
        return self._known().address

    @property
    def pid(self) -> int:
        """Process id of the server, or of the last one if it is down."""
        return self._known().pid

    @property
    def port(self) -> int:
        """Port on loopback, also while the server is down."""
        return self._known().port

    @property
    def owned(self) -> bool:
        """Whether the server was started here, so that stopping it is ours to do."""
        return self._process is not None

    @property
    def log(self) -> Path:
        """File with the output of the server's last start."""
        return self.folder / "server.log"

    def start(self) -> str:
        """Start the server, or find the one that runs; return its address.

        Raises:
            ServerMissing: There is no program that can run here.
            FolderHeld: Another server has the folder and does not answer.
            ServerFailed: It did not start; the message says why.
        """
        return self._start_on(self._ports())

    def stop(self) -> None:
        """Stop the server and wait for its end; one that was only found keeps running."""
        if self._process is not None:
            # First, so that nobody takes up a server that still answers on its way down.
            _write_record(self.folder, replace(self._known(), pid=0))
            end(self._process, patience=STOP_PATIENCE)
            self._process = None

    def kill(self) -> None:
        """End the server with SIGKILL, as a power cut would, for tests of what follows."""
        if self._process is None:
            raise ServerFailed(f"This {self.label} was not started here and is not ours to kill.")
        self._process.kill()
        self._process.wait()

    def restart(self) -> str:
        """Stop the server if it runs and start it on the same address.

        Raises:
            ServerFailed: It was not started here, or does not start again.
        """
        port = self._known().port
        if self._process is None and self._find_running(self.folder) is not None:
            raise ServerFailed(f"This {self.label} was not started here and is not ours to stop.")
        self.stop()
        return self._start_on([port])

    @abstractmethod
    def _command(self, program: Path, port: int) -> list[str]:
        """Return the command line."""

    @staticmethod
    @abstractmethod
    def _answering_pid(port: int) -> int | None:
        """Ask the server on the port for its process id; None if it does not answer yet."""

    @abstractmethod
    def _url(self, port: int) -> str:
        """Return the address to hand out."""

    @abstractmethod
    def _settle(self, port: int, deadline: float) -> None:
        """Do what is left after the first answer; `deadline` is on the monotonic clock."""

    @abstractmethod
    def _reason(self, output: str) -> str | None:
        """Find in the log, in one sentence, why the server did not start."""

    @classmethod
    def _folder(cls, data_dir: Path) -> Path:
        return data_dir.absolute() / cls.folder_name

    @classmethod
    def _find_running(cls, folder: Path) -> Running | None:
        recorded = _read_record(folder)
        if recorded is None or not listens(recorded.port):
            return None
        if orphaned(recorded.pid, recorded.owner):
            return None  # its parent was killed, so it is on its way down
        # The port may have gone to a stranger: only the recorded process counts.
        return recorded if cls._answering_pid(recorded.port) == recorded.pid else None

    def _known(self) -> Running:
        if self._running is None:
            raise ServerFailed(f"This {self.label} has not been started.")
        return self._running

    def _ports(self) -> Iterable[int]:
        if self._wanted_port:
            yield self._wanted_port
            return
        recorded = _read_record(self.folder)
        if recorded is not None and not port_taken(recorded.port):
            yield recorded.port
        for _ in range(SPARE_PORTS):
            yield free_port()

    def _start_on(self, ports: Iterable[int]) -> str:
        deadline = time.monotonic() + self.start_timeout
        while (claim := claim_folder(self.folder)) is None:
            found = self._find_running(self.folder)
            if found is not None:
                self._running = found
                return found.address
            if time.monotonic() > deadline:
                raise self._held()
            time.sleep(POLL)
        try:
            self._running = self._launch(ports, claim, deadline)
        finally:
            os.close(claim)
        return self._running.address

    def _launch(self, ports: Iterable[int], claim: int, deadline: float) -> Running:
        program = self.program.find()
        taken = PortTaken(f"No port was given to {self.label}.")
        for port in ports:
            process = spawn(
                self._command(program, port), log=self.log, claim=claim, parting=self.parting
            )
            try:
                self._wait_for_answer(process, port, deadline)
                self._settle(port, deadline)
            except PortTaken as error:
                taken = error
                continue
            except BaseException:
                end(process, patience=START_PATIENCE)
                raise
            self._process = process
            return _write_record(
                self.folder, Running(process.pid, port, self._url(port), os.getpid())
            )
        raise taken

    def _wait_for_answer(
        self, process: subprocess.Popen[bytes], port: int, deadline: float
    ) -> None:
        while not (listens(port) and self._answering_pid(port) == process.pid):
            status = process.poll()
            if status is not None:
                raise self._failure(status, port)
            if time.monotonic() > deadline:
                raise ServerFailed(
                    f"{self.label} did not answer within {self.start_timeout:g} seconds: "
                    f"its log is {self.log}."
                )
            time.sleep(POLL)

    def _failure(self, status: int, port: int) -> EmbeddedError:
        """Turn an early end into the error that names its cause."""
        output = tail(self.log)
        unable = self.program.cannot_run(output, status)
        if unable:
            return ServerMissing(unable)
        if "Address already in use" in output:
            return PortTaken(
                f"{self.label} cannot listen on port {port}, another program does: end that "
                f"program, choose another port, or set {self.program.setting}."
            )
        if "No space left on device" in output:
            return ServerFailed(
                f"{self.label} cannot write to {self.folder}, the disk is full: free some space, "
                "or name another folder with PIPELINE_DATA_DIR."
            )
        return ServerFailed(
            self._reason(output)
            or f"{self.label} ended with status {status} at its start: its log is {self.log}."
        )

    def _held(self) -> FolderHeld:
        recorded = _read_record(self.folder)
        who = f"process {recorded.pid}" if recorded else "a process that is still starting"
        return FolderHeld(
            f"The folder {self.folder} is held by another {self.label} ({who}), which did not "
            f"answer within {self.start_timeout:g} seconds: end it, or name another folder with "
            "PIPELINE_DATA_DIR."
        )


def _read_record(folder: Path) -> Running | None:
    """Read who was started last on the folder; None if nobody or unreadable."""
    try:
        fields = json.loads((folder / "server.json").read_text())
        numbers = {name: int(fields[name]) for name in ("pid", "port", "owner")}
        return Running(address=str(fields["address"]), **numbers)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_record(folder: Path, running: Running) -> Running:
    """Write down who runs, whole or not at all."""
    fresh = folder / "server.json.new"
    fresh.write_text(json.dumps(asdict(running)))
    fresh.replace(folder / "server.json")
    return running
