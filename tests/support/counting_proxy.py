"""A TCP proxy before an AWS backend that counts the requests it sees, by service and call, and refuses some when asked to.

It knows HTTP/1.1 framing and nothing else: what a client sends is counted once its head and body have come, whoever sent it.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)
_TARGET: Final = re.compile(rb"\r\nx-amz-target:\s*(\w+)\.(\w+)", re.I)
_SCOPE: Final = re.compile(rb"\r\nauthorization:.*?Credential=[^/]+/\d+/[^/]+/(\w+)/aws4_request", re.I)
_ACTION: Final = re.compile(rb"(?:^|&)Action=(\w+)")
_SERVICES: Final = {b"AmazonSQS": "sqs", b"DynamoDB_20120810": "dynamodb", b"DynamoDBStreams_20120810": "dynamodbstreams"}
_REFUSAL: Final = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
_MOST: Final = 4 * 1024 * 1024


class CountingProxy:
    """`seen`: `service.call` -> requests. `url`: where it listens."""

    def __init__(self, backend: str) -> None:
        parts = urlsplit(backend)
        self._backend = (parts.hostname or "", parts.port or 80)
        self._refuse_every = 0
        self.seen: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.url = ""

    def refuse(self, every: int) -> None:
        """From now on every so-manieth request of each call is answered with 500 in place of the backend; 0: none."""
        self._refuse_every = every

    async def instead(self, call: str, body: bytes) -> bytes | None:  # noqa: ARG002 - for those who look at it
        """An answer in place of the backend's; None: ask the backend."""
        if not self._refuse_every or self.seen[call] % self._refuse_every:
            return None
        self.refused[call] += 1
        return _REFUSAL

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client connection, with one of its own to the backend."""
        try:
            to_read, to_write = await asyncio.open_connection(*self._backend, limit=_MOST)
        except OSError:
            writer.close()
            return
        back = asyncio.create_task(_copy(to_read, writer))
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._requests(reader, writer, to_write)
        finally:
            back.cancel()
            writer.transport.abort()
            to_write.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to_write: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            assert length or head.startswith(b"GET "), f"a request without a length: {head!r}"
            body = await reader.readexactly(int(length[1])) if length else b""
            call = _call(head, body)
            self.seen[call] += 1
            answer = await self.instead(call, body)
            if answer is not None:
                writer.write(answer)
                await writer.drain()
                continue
            to_write.write(head + body)
            await to_write.drain()


def _call(head: bytes, body: bytes) -> str:
    target = _TARGET.search(head)
    if target:
        return f"{_SERVICES.get(target[1], target[1].decode())}.{target[2].decode()}"
    scope, action = _SCOPE.search(head), _ACTION.search(body)
    return f"{scope[1].decode() if scope else '?'}.{action[1].decode() if action else '?'}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers, as they are; the backend's end is the client's."""
    with suppress(ConnectionError):
        while part := await reader.read(64 * 1024):
            writer.write(part)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def counting_proxy(backend: str) -> AsyncIterator[CountingProxy]:
    """On a free loopback port, before the backend at that URL."""
    proxy = CountingProxy(backend)
    async with listening(proxy):
        yield proxy


@asynccontextmanager
async def listening(proxy: CountingProxy) -> AsyncIterator[None]:
    """On a free loopback port, which its `url` names."""
    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_MOST)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
