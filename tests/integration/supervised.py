"""A small process for the supervisor's tests: `python -m tests.integration.supervised KIND FOLDER`.

What it does it notes in files of the folder, a line with its process id for each fact.
"""

import os
import signal
import sys
import time
from pathlib import Path

POLL_SECONDS = 0.02
MEBIBYTE = 1024 * 1024


def main(kind: str, folder: Path) -> None:
    """Behave as one kind of process.

    Args:
        kind: `crash` fails until there is a file `well`; `busy` ends after SIGTERM when there
            is a file `finish`; `stubborn` does not hear SIGTERM; `big` is one of 100 MiB, and
            else like `obedient`, which ends on SIGTERM.
        folder: where it notes facts and looks for files.
    """

    def note(fact: str) -> None:
        with (folder / fact).open("a") as file:
            file.write(f"{os.getpid()}\n")

    # A list and no Event, which a signal handler can't safely set while we wait for it.
    told: list[bool] = []

    def tell(*_: object) -> None:
        note("told")
        told.append(True)

    if kind == "crash" and not (folder / "well").exists():
        note("crashed")
        raise RuntimeError("no luck with redis://me:hidden@host")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "stubborn" else tell)
    held = b"x" * (100 * MEBIBYTE if kind == "big" else 0)
    note("ready")
    while not told:
        time.sleep(POLL_SECONDS)
    while kind == "busy" and not (folder / "finish").exists():
        time.sleep(POLL_SECONDS)
    note("finished")
    del held


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
