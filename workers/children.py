"""Start a process that ends with this one, however this one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LEASH = Path(__file__).with_name("leash.py")

# The kernel ties a child to the thread that started it, so a child asked for on a passing
# thread is started by this one, which stays as long as the process.
_keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="children-keeper")


def start_child(
    command: Sequence[str],
    *,
    log: Path,
    parting: signal.Signals = signal.SIGTERM,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process that ends with this one (Linux).

    It gets a session of its own, so Ctrl-C in the terminal reaches this process and not the
    child, and we tell the child when to end.

    Args:
        command: program, by its path, and arguments.
        log: file that all its output is added to.
        parting: what the kernel sends it when this process has ended, also by `kill -9`.
        folder: where it runs; none for ours.
        environment: its environment; none for ours.
        keep: descriptors that it keeps open.
    """

    def start() -> subprocess.Popen[bytes]:
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(parting))]
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - the caller's own command
                [*leash, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
                pass_fds=keep,
            )

    if threading.current_thread() is threading.main_thread():
        return start()
    return _keeper.submit(start).result()
