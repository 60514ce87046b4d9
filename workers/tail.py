"""The end of a log, read without the rest of it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

TAIL_BYTES: Final = 64 * 1024
LINE_CHARACTERS: Final = 300

# User and password of an address, and values of its options that are secrets.
SECRET: Final = re.compile(
    r"((?:password|token|secret|authmechanismproperties)\w*=)[^\s&\"']+|(://)[^\s/]+@",
    re.IGNORECASE,
)


def tail(log: Path) -> str:
    """The last 64 KiB of a log as text; empty where there is none."""
    return _end(log)[0]


def last_lines(log: Path, count: int) -> list[str]:
    """The last lines of a log that say something, to be shown to people.

    Each is cut to a bearable length, and addresses in it lose their passwords.
    """
    text, whole = _end(log)
    lines = text.splitlines()[0 if whole else 1 :]
    said = [line.strip() for line in lines if line.strip()]
    return [SECRET.sub(r"\1\2***", line)[:LINE_CHARACTERS] for line in said[-count:]]


def _end(log: Path) -> tuple[str, bool]:
    """The end of a log, and whether that is all of it."""
    try:
        with log.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
            file.seek(start)
            return file.read(TAIL_BYTES).decode(errors="replace"), start == 0
    except OSError:
        return "", True
