"""HTTP/1.1 on raw sockets, as little of it as the gateway's answers need: a library costs more a request than any of our roles.

A connection carries one request at a time. Answers come with a Content-Length, or chunked.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Final

LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
Answered = Callable[[int, bytes, bytes], None]
"""(status, head, body); status 0: the connection was lost, or the answer was none."""


class Connection(asyncio.Protocol):
    """`send` may be called again once `answered` was."""

    def __init__(self, lost: "Callable[[Connection], None]") -> None:
        self._transport: asyncio.Transport | None = None
        self._lost = lost
        self._answered: Answered | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def send(self, request: bytes, answered: Answered) -> None:
        """`answered` is called exactly once."""
        self._answered = answered
        if self._transport is None or self._transport.is_closing():
            self._answer(0, b"", b"")
            return
        self._transport.write(request)

    def close(self) -> None:
        """Whoever waits is told."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end]
        length = LENGTH.search(head)
        if length is not None:
            if len(self._buffer) >= end + 4 + int(length[1]):
                self._whole(head, self._buffer[end + 4 :])
        elif CHUNKED.search(head):
            body = unchunked(self._buffer[end + 4 :])
            if body is not None:
                self._whole(head, body)
        else:
            self._whole(head, b"")

    def _whole(self, head: bytes, body: bytes) -> None:
        self._buffer = b""
        self._answer(int(head[9:12]), head, body)

    def _answer(self, status: int, head: bytes, body: bytes) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(status, head, body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's shape
        self._buffer = b""
        self._lost(self)
        self._answer(0, b"", b"")


def unchunked(raw: bytes) -> bytes | None:
    """A chunked body; None while its end has not come."""
    if not raw.endswith(b"0\r\n\r\n"):
        return None
    parts: list[bytes] = []
    place = 0
    while True:
        line = raw.find(b"\r\n", place)
        if line < 0:
            return None
        size = int(raw[place:line].split(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(raw[line + 2 : line + 2 + size])
        place = line + 4 + size


class Connections:
    """Idle ones are used again, the last first; more are opened as needed, up to `most`."""

    def __init__(self, host: str, port: int, most: int) -> None:
        self._host, self._port, self._most = host, port, most
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._waiting: deque[tuple[bytes, Answered]] = deque()
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Requests without a connection yet."""
        return len(self._waiting)

    def send(self, request: bytes, answered: Answered) -> None:
        """At once where a connection is free, else as soon as one is."""
        if self._idle:
            self._send(self._idle.pop(), request, answered)
            return
        self._waiting.append((request, answered))
        if len(self._open) + len(self._opening) < self._most:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def open(self, count: int) -> None:
        """So many before the start, so that opening them is no part of what is measured."""
        await asyncio.gather(*(self._connect() for _ in range(min(count, self._most))))

    def close(self) -> None:
        """All of them."""
        for each in list(self._open):
            each.close()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(10):
                _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(self._lose), self._host, self._port)
        except (OSError, TimeoutError):
            if self._waiting:
                self._waiting.popleft()[1](0, b"", b"")
            return
        self._open.add(connection)
        self._next(connection)

    def _send(self, connection: Connection, request: bytes, answered: Answered) -> None:
        def done(status: int, head: bytes, body: bytes) -> None:
            if status:
                self._next(connection)
            answered(status, head, body)

        connection.send(request, done)

    def _next(self, connection: Connection) -> None:
        if self._waiting:
            self._send(connection, *self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _lose(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
