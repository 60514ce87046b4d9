"""The scripts that Redis runs for us."""

from __future__ import annotations

from importlib import resources


def script(name: str) -> str:
    """A script without what is only for readers: some go along with each call."""
    file = resources.files("pipeline.queue").joinpath(f"{name}.lua").read_text(encoding="utf-8")
    return "\n".join(line for line in file.splitlines() if not line.startswith("--"))
