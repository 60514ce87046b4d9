"""Start and end one server process; its port, its log and the claim on its folder."""

import fcntl
import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from workers.children import start_child
from workers.embedded.errors import PortTaken, ServerFailed

LOOPBACK = "127.0.0.1"

# Below every system's range for outgoing connections: a client that keeps knocking while its
# server is down would otherwise get the server's own port one day, and connect to itself.
PORTS = range(20_000, 32_000)


def spawn(
    command: Sequence[str], *, log: Path, claim: int, parting: signal.Signals = signal.SIGTERM
) -> subprocess.Popen[bytes]:
    """Start a server that ends with this process.

    Args:
        command: Program and arguments.
        log: File for all its output; the last run's is kept beside it with `.1`.
        claim: Descriptor from `claim_folder`; the server keeps it open while it lives.
        parting: Signal the server gets when this process has ended without stopping it.
    """
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    return start_child(command, log=log, parting=parting, folder=log.parent, keep=(claim,))


def end(process: subprocess.Popen[bytes], *, patience: float) -> None:
    """End a process: ask, wait for `patience` seconds, then kill. Harmless if it has ended."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def claim_folder(folder: Path) -> int | None:
    """Claim a data folder for one server.

    The claim is a lock on a file, held by whoever has the returned descriptor open: this process
    until it closes it, and the server that inherits it. So it is gone exactly when the server
    is, kill -9 included, and no pid can be mistaken for another.

    Returns:
        The descriptor, to be closed by the caller, or None if another server has the folder.

    Raises:
        ServerFailed: The folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        claim = os.open(folder / "claim.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServerFailed(
            f"The data folder {folder} cannot be written ({error.strerror}): "
            "free or open it, or name another with PIPELINE_DATA_DIR."
        ) from error
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        return None
    return claim


def free_port() -> int:
    """Pick a loopback port nobody listens on; another program may still be quicker."""
    for port in random.SystemRandom().sample(PORTS, k=200):
        if not port_taken(port):
            return port
    raise PortTaken(f"No free port found between {PORTS.start} and {PORTS.stop} on {LOOPBACK}.")


def port_taken(port: int) -> bool:
    """Tell whether a server could not listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def listens(port: int) -> bool:
    """Tell, cheaply, whether somebody accepts connections on the port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False


def orphaned(pid: int, owner: int) -> bool:
    """Tell whether a process has lost the parent that started it; False where unknowable."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return int(fields[1]) != owner
