"""The live stream: one look feeds every open page, and a slow reader gets only the newest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

POLL_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 15.0
"""A stream that has nothing to say says so, by which both ends know that it lives."""
MOST_STREAMS: Final = 500


class Pulse:
    """Tells everybody who listens what has changed.

    Args:
        look: what is told, as JSON; called in a thread.
        poll_seconds: between two looks while somebody listens.
    """

    def __init__(
        self, look: Callable[[], dict[str, Any]], *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._look = look
        self._poll_seconds = poll_seconds
        self._readers: set[asyncio.Queue[str]] = set()
        self._task: asyncio.Task[None] | None = None
        self._last = ""

    @property
    def readers(self) -> int:
        """How many streams are open."""
        return len(self._readers)

    async def stream(self) -> AsyncIterator[str]:
        """What one reader is sent, as server-sent events."""
        if self.readers >= MOST_STREAMS:
            yield "event: full\ndata: {}\n\n"
            return
        mine: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
        self._readers.add(mine)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        try:
            yield "retry: 3000\n\n"
            if self._last:
                yield self._last
            while True:
                try:
                    yield await asyncio.wait_for(mine.get(), SILENT_SECONDS)
                except TimeoutError:
                    yield ": nothing new\n\n"
        finally:
            self._readers.discard(mine)

    async def _poll(self) -> None:
        while self._readers:
            try:
                seen = await asyncio.to_thread(self._look)
                told = f"event: pulse\ndata: {json.dumps(seen, default=str)}\n\n"
            except Exception as error:  # noqa: BLE001 - what it was is told to every reader
                said = {"error": f"could not look: {type(error).__name__}"}
                told = f"event: trouble\ndata: {json.dumps(said)}\n\n"
            if told != self._last:
                self._last = told
                for reader in self._readers:
                    if reader.full():
                        reader.get_nowait()
                    reader.put_nowait(told)
            await asyncio.sleep(self._poll_seconds)
        self._last = ""
