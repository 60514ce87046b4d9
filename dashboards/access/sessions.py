"""Signed sessions: who has logged in, in a cookie that nobody else can write."""

from __future__ import annotations

from typing import Any, Final

from itsdangerous import BadSignature, URLSafeTimedSerializer

COOKIE: Final = "pipeline_console"
SECONDS: Final = 12 * 3600


class Sessions:
    """Writes and reads sessions.

    Args:
        secret: what they are signed with.
    """

    def __init__(self, secret: bytes) -> None:
        self._signer = URLSafeTimedSerializer(secret, salt="pipeline.console.session")

    def write(self, name: str, way: str) -> str:
        """The cookie of who has logged in, and in which way; good for twelve hours."""
        return str(self._signer.dumps([name, way]))

    def read(self, cookie: str) -> tuple[str, str] | None:
        """Name and way within a cookie; None where it is none of ours, or too old."""
        try:
            found: Any = self._signer.loads(cookie, max_age=SECONDS)
            name, way = found
        except (BadSignature, TypeError, ValueError):
            return None
        return str(name), str(way)
