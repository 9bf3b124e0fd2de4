"""The client on raw sockets, against a server that answers in pieces."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from loadtest.wire import Connections, unchunked

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await answer(await reader.readuntil(b"\r\n\r\n"), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def ask(connections: Connections, count: int) -> list[tuple[int, bytes]]:
    """So many at once."""
    answers: list[tuple[int, bytes]] = []
    done = asyncio.Event()

    def answered(status: int, head: bytes, body: bytes) -> None:
        answers.append((status, body))
        if len(answers) == count:
            done.set()

    for number in range(count):
        connections.send(b"GET /%d HTTP/1.1\r\n\r\n" % number, answered)
    async with asyncio.timeout(5):
        await done.wait()
    return answers


async def in_pieces(request: bytes, writer: asyncio.StreamWriter) -> None:
    body = request.split()[1]
    for piece in (b"HTTP/1.1 202 Acc", b"epted\r\nContent-Length: %d\r\n\r" % len(body), b"\n" + body[:1], body[1:]):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


async def test_answers_in_pieces_on_few_connections() -> None:
    async with server(in_pieces) as port:
        connections = Connections("127.0.0.1", port, 3)
        await connections.open(1)
        answers = await ask(connections, 20)
        assert sorted(answers) == sorted((202, b"/%d" % number) for number in range(20))
        connections.close()


async def test_chunked_answers() -> None:
    async def chunked(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        writer.write(b"1;x=y\r\n!\r\n0\r\n\r\n")

    async with server(chunked) as port:
        connections = Connections("127.0.0.1", port, 1)
        assert await ask(connections, 3) == [(200, b"hello!")] * 3
        connections.close()


async def test_a_lost_connection_is_told_and_replaced() -> None:
    asked = 0

    async def hang_up_once(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            writer.close()
        else:
            writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")

    async with server(hang_up_once) as port:
        connections = Connections("127.0.0.1", port, 1)
        assert await ask(connections, 1) == [(0, b"")]
        assert await ask(connections, 2) == [(204, b"")] * 2
        connections.close()


async def test_nobody_listens() -> None:
    assert await ask(Connections("127.0.0.1", 1, 4), 1) == [(0, b"")]


@pytest.mark.parametrize(("raw", "body"), [(b"0\r\n\r\n", b""), (b"3\r\nabc\r\n0\r\n\r\n", b"abc"), (b"3\r\nab", None), (b"", None)])
def test_chunks(raw: bytes, body: bytes | None) -> None:
    assert unchunked(raw) == body
