"""Which sources a process runs: as the image's builder said, else as git says of the checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Final

UNKNOWN: Final = "unknown"
SHOWN: Final = 12
"""Characters of a hash that are told."""
HASH: Final = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
GIT_SECONDS: Final = 10
ROOT: Final = Path(__file__).parents[1]


def revision_of(told: str, root: Path = ROOT) -> str:
    """The revision; a whole hash of git shortened to what tells revisions apart.

    Args:
        told: by the setting, which comes first; empty where nothing was said.
        root: the folder that may be a checkout.

    Returns:
        As it was told; else that of the checkout; else `unknown`.
    """
    found = told or _checkout(root) or UNKNOWN
    return found[:SHOWN] if HASH.fullmatch(found) else found


def git(root: Path, *arguments: str) -> str | None:
    """What git answers about the checkout in this folder.

    Returns:
        None where there is no git, where the folder is no checkout's topmost (one that was
        installed into somebody else's has not its revision), or where git fails.
    """
    command = shutil.which("git")
    if command is None or not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603 - git, with our own arguments
            [command, *arguments],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@lru_cache(maxsize=2)
def _checkout(root: Path) -> str | None:
    """Asked once: what a process runs does not change while it runs."""
    return git(root, "rev-parse", "HEAD")
