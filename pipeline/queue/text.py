"""What Redis answers."""

from __future__ import annotations

from typing import Any


def text(value: Any) -> str:
    """What Redis answered, as text."""
    return value.decode() if isinstance(value, bytes) else str(value)
