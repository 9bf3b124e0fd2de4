"""HTTP at its edges, over real sockets: what is too large, too slow, too much or not HTTP at all."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway import protocol
from gateway.answers import Answer
from gateway.app import App
from gateway.bounds import Bounds
from gateway.requests import Request
from gateway.routing import Route
from gateway.server import serving
from tests.unit.gateway.fakes import World, until, world

LOOPBACK = ("127.0.0.1", 0)

POST = "POST /pictures/p/comments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@dataclass
class Raw:
    """A gateway's port, and conversations with it byte by byte."""

    port: int
    world: World

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *pieces: str | bytes) -> tuple[int, dict[str, str], Any]:
        """(status, headers, body) of the first answer."""
        reader, writer = await self.connect()
        try:
            for piece in pieces:
                writer.write(piece.encode() if isinstance(piece, str) else piece)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
            return await answer_from(reader)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def answer_from(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split()[1]), headers, json.loads(body) if body else None


@pytest.fixture(scope="module")
async def raw() -> AsyncIterator[Raw]:
    """One for all tests that need nothing of their own."""
    async with world() as made, serving(made.gateway.app, LOOPBACK) as port:
        yield Raw(port, made)


@pytest.fixture(scope="module")
async def impatient() -> AsyncIterator[Raw]:
    """One with deadlines of a test's length, and a route that only reads its body."""

    async def read(request: Request) -> Answer:
        return Answer(200, [], await request.body())

    async with world() as made:
        app = App([Route("POST", "/pictures/{picture_id}/comments", read)], read_seconds=0.1)
        async with serving(app, LOOPBACK, bounds=Bounds(header_seconds=0.1)) as port:
            yield Raw(port, made)


@pytest.mark.parametrize(
    ("request_text", "status", "code"),
    [
        (POST + 'content-length: 12\r\ntransfer-encoding: chunked\r\n\r\n{"text":"x"}', 400, "malformed"),
        (POST + 'transfer-encoding: chunked\r\ncontent-length: 12\r\n\r\n{"text":"x"}', 400, "malformed"),
        (POST + 'content-length: 12\r\ncontent-length: 13\r\n\r\n{"text":"x"}', 400, "malformed"),
        (POST + "content-length: -1\r\n\r\n", 400, "malformed"),
        (POST + "x: a\rb\r\n\r\n", 400, "malformed"),
        (POST + "x: a\nb: c\r\n\r\n", 400, "malformed"),
        (POST + "x: a\0b\r\n\r\n", 400, "malformed"),
        (POST + "content-length : 12\r\n\r\n", 400, "malformed"),
        (POST + "transfer-encoding: chunked\r\n\r\nxyz\r\n", 400, "malformed"),
        ("GET /pictures/\xe9 HTTP/1.1\r\nhost: x\r\n\r\n", 400, "malformed"),
        ("hello\r\n\r\n", 400, "malformed"),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 404, "not_found"),
        ("FOO /commands HTTP/1.1\r\nhost: x\r\n\r\n", 405, "method_not_allowed"),
        ("FOO /nothing HTTP/1.1\r\nhost: x\r\n\r\n", 404, "not_found"),
        ("TRACE /commands HTTP/1.1\r\nhost: x\r\n\r\n", 405, "method_not_allowed"),
        ("GET /healthz HTTP/1.1\r\n" + "".join(f"x{n}: y\r\n" for n in range(101)) + "\r\n", 431, "headers_too_large"),
        ("GET /healthz HTTP/1.1\r\nx: " + "y" * 33_000 + "\r\n\r\n", 431, "headers_too_large"),
        ("GET /healthz HTTP/1.1\r\nx: " + "y" * 70_000, 431, "headers_too_large"),
        ("GET /" + "y" * 70_000, 431, "headers_too_large"),
        (POST.replace("/p/", f"/{'p' * 65_600}/") + "content-length: 12\r\n\r\n{", 400, "malformed"),
        (POST + "content-length: 262145\r\n\r\n", 413, "too_large"),
        (POST + "content-length: 99999999999999999999\r\n\r\n", 400, "malformed"),
        (POST + "content-length: 262145\r\nexpect: 100-continue\r\n\r\n", 413, "too_large"),
        (POST + "idempotency-key: a\r\nidempotency-key: a\r\ncontent-length: 0\r\n\r\n", 400, "malformed"),
    ],
)
async def test_what_is_refused_at_the_edge(raw: Raw, request_text: str, status: int, code: str) -> None:
    found, headers, body = await raw.say(request_text.encode("latin-1"))
    assert (found, body["code"], headers["content-type"]) == (status, code, "application/problem+json")
    assert ("allow" in headers) == (status == 405)
    assert raw.world.queue.taken == []


async def test_a_chunked_body_over_the_limit_is_answered_before_its_end(raw: Raw) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    status, _, body = await raw.say(POST + "transfer-encoding: chunked\r\n\r\n", *[chunk] * 10)
    assert (status, body["code"]) == (413, "too_large")


async def test_a_caller_that_sends_it_all_the_same_sees_the_answer(raw: Raw) -> None:
    status, _, _ = await raw.say(POST + "content-length: 2000000\r\n\r\n", b"x" * 2_000_000)
    assert status == 413


async def test_a_body_that_nobody_reads_is_not_waited_for(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.01)
    reader, writer = await raw.connect()
    writer.write((POST + "content-length: 262145\r\n\r\nx").encode())
    assert (await answer_from(reader))[0] == 413
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_is_shorter_than_announced_and_never_comes(raw: Raw) -> None:
    reader, writer = await raw.connect()
    writer.write((POST + 'content-length: 100\r\n\r\n{"text"').encode())
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert raw.world.queue.taken == []


async def test_head_is_get_without_its_body(raw: Raw) -> None:
    reader, writer = await raw.connect()
    writer.write(b"HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"content-length: 13\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_an_upgrade_is_declined_by_an_ordinary_answer(raw: Raw) -> None:
    status, _, _ = await raw.say("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    assert status == 200


async def test_requests_on_one_connection_are_answered_in_order(raw: Raw) -> None:
    reader, writer = await raw.connect()
    get = "GET /comments/{} HTTP/1.1\r\nhost: x\r\n\r\n"
    writer.write((get.format("a%20b") + get.format("c") + "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").encode())
    assert [(await answer_from(reader))[0] for _ in range(3)] == [400, 404, 200]
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("text", ["GET /healthz HTTP/1.1\r\nx: y", POST + 'content-length: 12\r\n\r\n{"te'])
async def test_a_slow_request_is_timed_out_and_the_connection_closed(impatient: Raw, text: str) -> None:
    reader, writer = await impatient.connect()
    writer.write(text.encode())
    status, headers, body = await answer_from(reader)
    assert (status, body["code"], headers["connection"]) == (408, "request_timeout", "close")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_slow_headers_of_a_later_request_are_timed_out_too(impatient: Raw) -> None:
    reader, writer = await impatient.connect()
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await answer_from(reader))[0] == 404
    writer.write(b"GET /heal")
    assert (await answer_from(reader))[0] == 408
    writer.close()
    await writer.wait_closed()


async def test_a_connection_that_says_nothing_is_closed(impatient: Raw) -> None:
    reader, writer = await impatient.connect()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_more_connections_than_allowed_are_told_so(gateway: World) -> None:
    async with serving(gateway.gateway.app, LOOPBACK, bounds=Bounds(connections=2)) as port:
        raw = Raw(port, gateway)
        held = [await raw.connect() for _ in range(2)]
        reader, writer = await raw.connect()
        status, headers, body = await answer_from(reader)
        assert (status, body["code"], headers["retry-after"]) == (503, "unavailable", "1")
        for _, each in [*held, (reader, writer)]:
            each.close()
            await each.wait_closed()


async def test_stopping_answers_what_is_under_way(gateway: World) -> None:
    gateway.queue.open.clear()
    async with serving(gateway.gateway.app, LOOPBACK, gateway.gateway.stopping) as port:
        reader, writer = await Raw(port, gateway).connect()
        writer.write((POST + 'content-length: 12\r\n\r\n{"text":"x"}').encode())
        await until(lambda: gateway.queue.calls)
        asyncio.get_running_loop().call_later(0.1, gateway.queue.open.set)
    assert (await answer_from(reader))[0] == 202
    writer.close()
    await writer.wait_closed()


async def test_a_post(raw: Raw) -> None:
    status, _, body = await raw.say(POST + 'content-length: 12\r\n\r\n{"text":"x"}')
    assert (status, body["status"]) == (202, "pending")
