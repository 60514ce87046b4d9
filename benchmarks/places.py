"""Where demo and benchmarks may run: folders they have made themselves, servers nobody uses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from benchmarks.peers.keys import remove_keys
from workers.bootstrap import Application
from workers.embedded import EmbeddedMongo, EmbeddedRedis

MARK: Final = "made-by-benchmarks.json"
"""In a folder that we have made, and so may wipe; holds what was run there last."""

OURS: Final = ("rq:*", "pipeline:*")
"""The keys of a pipeline, and of RQ, through which it runs."""


class PlaceTakenError(Exception):
    """The folder or the server belongs to someone else."""


def claim_folder(folder: Path, *, wipe: bool) -> Path:
    """Make a folder, or take one that was made here before.

    Args:
        folder: for embedded servers and logs.
        wipe: remove what an earlier run has left in it.

    Returns:
        The mark in it, a file with the JSON of the earlier run, or empty.

    Raises:
        PlaceTakenError: it holds something else, or servers are running on it.
    """
    mark = folder / MARK
    if folder.exists() and any(folder.iterdir()) and not mark.is_file():
        raise PlaceTakenError(
            f"{folder} holds something else; move it away, or name another PIPELINE_DATA_DIR"
        )
    if EmbeddedMongo.running_address(folder) or EmbeddedRedis.running_address(folder):
        raise PlaceTakenError(f"servers are running on {folder}: is another run under way?")
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
    if wipe:
        _empty(folder, mark)
    return mark


def _empty(folder: Path, mark: Path) -> None:
    """Remove all but the mark, so that a folder half wiped is still known as ours."""
    for inside in folder.iterdir():
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside)
        elif inside != mark:
            inside.unlink()
    mark.write_text("")


def ensure_alone(app: Application) -> None:
    """Check that no other pipeline uses this Redis: its workers would take our jobs.

    Raises:
        PlaceTakenError: one does.
    """
    if app.heartbeats.running() or any(app.queue.lengths().values()):
        raise PlaceTakenError("another pipeline uses this Redis; give this run one of its own")


def leave(app: Application) -> None:
    """Remove what a run leaves in Redis: the next one would take it for another pipeline's.

    There are jobs that nobody has waited for, such as a verification that was begun meanwhile,
    and signs of life and leases of workers that were killed.
    """
    for pattern in OURS:
        remove_keys(app.redis, pattern)
