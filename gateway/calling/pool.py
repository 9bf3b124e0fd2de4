"""Connections to one gateway: idle ones are used again, the youngest first, at most so many at once."""

import asyncio
from ssl import create_default_context
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from gateway.calling.connection import Answer, Connection, Lost
from runtime.errors import ConfigurationError

CONNECT_SECONDS: Final = 5.0


class Pool:
    """Of one gateway's URL. Raises ConfigurationError for a URL that is none."""

    def __init__(self, url: str, most: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError([f"{url!r} is not the URL of a gateway"])
        self._host = parts.hostname
        self._tls = create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self.prefix = parts.path.rstrip("/")
        """Before every path."""
        self.host = parts.netloc.rpartition("@")[2]
        """The Host header."""
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(most)
        self._closed = False

    async def ask(self, request: bytes, seconds: float) -> Answer:
        """One answer within so many seconds. Raises OSError (Lost among them), TimeoutError, NotOurs."""
        async with asyncio.timeout(seconds), self._free:
            connection = await self._connection()
            try:
                return await connection.ask(request)
            finally:
                if connection.usable and not self._closed:
                    self._idle.append(connection)
                else:
                    connection.close()

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(Connection, self._host, self._port, ssl=self._tls)
        except TimeoutError as exc:
            raise Lost("no connection in time") from exc
        return connection

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of the caller's own, beside the pool's. Raises OSError."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        except TimeoutError as exc:
            raise Lost("no connection in time") from exc

    def close(self) -> None:
        """All idle connections; those in use end with their request."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def __aenter__(self) -> "Pool":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, wrong: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
