"""Whether a peer's packages are here."""

from __future__ import annotations

from importlib.util import find_spec


def not_installed(*packages: str) -> str | None:
    """Which of the packages is not installed, as a sentence; None where all are.

    Args:
        packages: names as they are imported.
    """
    absent = [name for name in packages if find_spec(name) is None]
    if not absent:
        return None
    return f"{' and '.join(absent)} can't be imported; the extra 'peers' installs it"
