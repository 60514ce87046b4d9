"""A TCP proxy on loopback that fails on request: what a network does on a bad day."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Final, Self

from workers.embedded.process import LOOPBACK, free_port

CHUNK: Final = 64 * 1024  # most bytes of one direction that the proxy holds
MOST_CONNECTIONS: Final = 1_000
BACKLOG: Final = 100
PATIENCE: Final = 10.0  # seconds the proxy's thread may take to do what it is told
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: the other side learns of a reset, not an end


class Proxy:
    """Passes bytes between clients and one server on loopback, until it is told otherwise.

    Used as `with Proxy(server.port) as proxy:`; clients connect to `proxy.port`. A fault is in
    force when the call that asks for it returns. A direction holds one chunk and what is in the
    kernel's buffers, so a side that does not read holds up the other, as without a proxy.

    Args:
        target_port: Port of the server on loopback; it need not listen yet.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = free_port()
        self._seconds = 0.0
        self._swallows = False
        self._listener: socket.socket | None = None
        # By the client's socket: the task that passes its bytes, and who has lost some.
        self._lines: dict[socket.socket, asyncio.Task[None]] = {}
        self._holed: set[socket.socket] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        try:
            self.refuse(False)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections and the port."""
        try:
            self.refuse(True)
            self.cut()
        finally:
            self._end()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._lines)

    def cut(self) -> None:
        """Close all connections now; both sides learn of it."""
        self._do(self._cut())

    def refuse(self, refuses: bool) -> None:  # noqa: FBT001 - a switch
        """Refuse new connections, or take them again; open ones go on."""
        self._do(self._deafen() if refuses else self._listen())

    def delay(self, seconds: float) -> None:
        """Hold up what arrives from now on, in each direction and chunk by chunk; 0 ends it."""
        self._do(self._slow_down(seconds))

    def black_hole(self, swallows: bool) -> None:  # noqa: FBT001 - a switch
        """Swallow every byte and the ends of connections; nobody learns of it.

        When that is over, connections that lost something are closed: TCP leaves no gaps.
        """
        self._do(self._swallow(swallows=swallows))

    def _do(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    async def _cut(self) -> None:
        # The loop looks at its sockets before it runs what it is told, so who has connected is
        # accepted by now.
        await asyncio.sleep(0)
        await self._close(self._lines)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((LOOPBACK, self.port), backlog=BACKLOG)
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept)

    async def _deafen(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _slow_down(self, seconds: float) -> None:
        self._seconds = seconds

    async def _swallow(self, *, swallows: bool) -> None:
        self._swallows = swallows
        if not swallows:
            await self._close(self._holed)

    async def _close(self, clients: Iterable[socket.socket]) -> None:
        lines = {client: self._lines[client] for client in clients}
        for task in lines.values():
            task.cancel()
        await asyncio.gather(*lines.values(), return_exceptions=True)
        # A task that is cancelled before it has begun does not clean up after itself.
        for client in self._lines.keys() & lines.keys():
            _close(client, reset=True)
            del self._lines[client]

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                client, _ = self._listener.accept()
            except OSError:  # nobody waits any more, or has gone already
                return
            if len(self._lines) >= MOST_CONNECTIONS:
                _close(client, reset=True)
                continue
            self._lines[client] = self._loop.create_task(self._join(client))

    async def _join(self, client: socket.socket) -> None:
        """Pass the bytes of one client until both sides have ended, or one breaks off."""
        server = socket.socket()
        broken = True
        try:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(server, (LOOPBACK, self.target_port))
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._carry(client, server, client))
                directions.create_task(self._carry(server, client, client))
            broken = False
        except* OSError:
            pass  # one side has broken off, and by our reset the other learns of it
        finally:
            for end in (client, server):
                _close(end, reset=broken)
            self._holed.discard(client)
            del self._lines[client]

    async def _carry(
        self, source: socket.socket, target: socket.socket, client: socket.socket
    ) -> None:
        """Pass one direction, chunk by chunk, and its end."""
        chunk = b"-"
        while chunk:
            chunk = await self._loop.sock_recv(source, CHUNK)
            if self._seconds:
                await asyncio.sleep(self._seconds)
            if self._swallows:
                self._holed.add(client)
            elif chunk:
                await self._loop.sock_sendall(target, chunk)
            else:
                target.shutdown(socket.SHUT_WR)


def _close(end: socket.socket, *, reset: bool) -> None:
    if reset:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.close()
