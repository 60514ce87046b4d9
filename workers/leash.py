"""Become a program that ends with the process that asked for it.

Run as a script, by path: `python -I -S leash.py PARENT_PID SIGNAL PROGRAM ARGUMENTS...`. The
kernel is told to send the signal when the parent ends, however it ends, and then this process
becomes the program: same pid, no second process to look after. Doing so here and not in
`preexec_fn` keeps Python code out of the moment between fork and exec, where a threaded parent
can deadlock.

The kernel watches the *thread* that started the process; `children.start_child` sees to that.
Systems without `prctl` (macOS) get a plain exec: there a killed parent leaves an embedded server
running, the record in its folder stays true, and the next start takes it up again.
"""

import contextlib
import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
CANNOT_RUN = 127


def end_with_parent(parent: int, parting: int) -> None:
    """Ask for a signal at the parent's end; leave at once if it has ended already."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, parting, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(CANNOT_RUN)


def main() -> None:
    """Put on the leash and become the program."""
    parent, parting, program, *arguments = sys.argv[1:]
    end_with_parent(int(parent), int(parting))
    try:
        os.execv(program, [program, *arguments])  # noqa: S606 (the caller found the program)
    except OSError as error:
        sys.stderr.write(f"cannot run {program}: {error.strerror}\n")
        sys.exit(CANNOT_RUN)


if __name__ == "__main__":
    main()
