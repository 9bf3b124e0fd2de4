"""A TCP pipe before a server that delays what comes back, or swallows it: Redis far away, and Redis behind a dead link."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class SlowPipe:
    """`delay`: seconds by which answers are late. `dead`: nothing passes either way, and nothing is refused."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.delay = 0.0
        self.dead = False
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            to_read, to_write = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, to_write, late=False))
                both.create_task(self._pass(to_read, writer, late=True))
        except* OSError:
            pass  # either end went away
        finally:
            writer.transport.abort()
            to_write.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, late: bool) -> None:
        while data := await reader.read(65536):
            if late and self.delay:
                await asyncio.sleep(self.delay)
            while self.dead:  # noqa: ASYNC110 - a fault, switched by a test
                await asyncio.sleep(0.05)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def slow_pipe(url: str) -> AsyncIterator[SlowPipe]:
    """On a free loopback port, before the server of that URL; `url` is the same through the pipe."""
    parts = urlsplit(url)
    pipe = SlowPipe(parts.hostname or "", parts.port or 0)
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(pipe.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    pipe.url = parts._replace(netloc=f"{host}:{port}").geturl()
    try:
        yield pipe
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*connections, return_exceptions=True)
