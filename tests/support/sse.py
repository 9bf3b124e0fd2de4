"""A follower of the live feed on a bare socket: reads when it is asked to, and not otherwise."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Event(NamedTuple):
    """As a browser would dispatch it."""

    id: str
    name: str
    data: Any


class Feed:
    """One connection. `last_id` is what a browser would resume with."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.head = b""
        self.last_id = ""
        self._text = b""

    async def begin(self) -> None:
        self.head = await self._reader.readuntil(b"\r\n\r\n")

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    async def next(self, seconds: float = 10) -> Event:
        """Raises EOFError at the end, TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                event = self._dispatched(await self._block())
                if event is not None:
                    return event

    async def take(self, many: int, seconds: float = 10) -> list[Event]:
        return [await self.next(seconds) for _ in range(many)]

    async def _block(self) -> bytes:
        while b"\n\n" not in self._text:
            try:
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                self._text += (await self._reader.readexactly(size + 2))[:-2]
            except (asyncio.IncompleteReadError, ConnectionError) as cut:
                raise EOFError from cut
            if not size:
                raise EOFError
        block, _, self._text = self._text.partition(b"\n\n")
        return block

    def _dispatched(self, block: bytes) -> Event | None:
        name, data = "message", []
        for line in block.decode().split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                self.last_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)
        return Event(self.last_id, name, json.loads("\n".join(data))) if data else None

    def cut(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def following(url: str, path: str = "/events", last_id: str = "", method: str = "GET", limit: int = 2**16) -> AsyncIterator[Feed]:
    """Connected, and the head of the answer read."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=limit)
    resumed = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{resumed}\r\n".encode())
    feed = Feed(reader, writer)
    try:
        async with asyncio.timeout(10):
            await feed.begin()
        yield feed
    finally:
        feed.cut()
