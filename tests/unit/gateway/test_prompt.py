"""Posts that are answered without a task: the same answers, and the same manners, as from the ordinary way."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gateway.answers import Answer
from gateway.requests import Scope
from gateway.routing import Found
from gateway.server import serving
from runtime.metrics import HTTP
from tests.unit.gateway.fakes import World, until, world
from tests.unit.gateway.test_protocol import LOOPBACK, answer_from

TRACE = "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n"
NEW = "POST /pictures/p/comments"
JSON = "content-type: application/json\r\n"
_CHOSEN = re.compile(rb"(?<=comment-|ommands/|nd_id\":\"|on_id\":\")(?!0123)[0-9a-f]{32}")
"""Ids that nobody gave; `0123` begins the trace."""
ROUTE = "/pictures/{picture_id}/comments"


def request(line: str, headers: str = JSON, body: str = '{"text":"x"}', version: str = "1.1") -> bytes:
    raw = body.encode()
    return f"{line} HTTP/{version}\r\nhost: x\r\n{headers}content-length: {len(raw)}\r\n\r\n".encode() + raw


@dataclass
class Served:
    """A gateway at a port; `prompt` counts the answers it gave without a task."""

    world: World
    port: int
    prompt: list[str] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def whole(self, text: bytes) -> bytes:
        """Everything that comes back until the gateway closes, or an answer is whole."""
        reader, writer = await self.connect()
        writer.write(text)
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            answer = head + await reader.readexactly(int(length[1]) if length else 0)
            closing = b"connection: close" in head
            if closing:
                answer += await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    async with world() as made:
        app = made.gateway.app
        at_once = app.at_once
        served = Served(made, 0)

        async def counted(found: Found, scope: Scope, body: bytes) -> Answer:
            assert asyncio.current_task() is None, "no task of its own"
            served.prompt.append(found.path)
            return await at_once(found, scope, body)

        app.at_once = counted  # type: ignore[method-assign]
        async with serving(app, LOOPBACK, made.gateway.stopping) as served.port:
            yield served


@pytest.fixture(scope="module")
async def both() -> AsyncIterator[tuple[Served, Served]]:
    """Two gateways, the second of which answers nothing without a task."""
    async with served() as prompt, served() as ordinary:
        ordinary.world.gateway.app.prompt = lambda *_: None  # type: ignore[method-assign]
        yield prompt, ordinary


@pytest.fixture
async def one() -> AsyncIterator[Served]:
    async with served() as made:
        yield made


PROMPT = {
    "creation": request(NEW),
    "creation under an id": request(NEW, JSON, '{"text":"x","comment_id":"c1"}'),
    "under the caller's key": request(NEW, JSON + "idempotency-key: k:1\r\n"),
    "the same key again": request(NEW, JSON + "idempotency-key: k:1\r\n"),
    "the same key for another": request(NEW, JSON + "idempotency-key: k:1\r\n", '{"text":"y"}'),
    "an actor and a trace": request(NEW, JSON + TRACE + "headrace-actor: me\r\n"),
    "change": request("PATCH /comments/c1", JSON + 'if-match: "3"\r\n'),
    "deletion": request("DELETE /comments/c1", "", ""),
    "by name": request("POST /commands", JSON, '{"name":"comment.delete","data":{"comment_id":"c1"},"id":"d1"}'),
    "an unknown name": request("POST /commands", JSON + TRACE, '{"name":"comment.burn","data":{}}'),
    "a path with percents": request("POST /pictures/p%7E/comments"),
    "an id that is none": request("POST /pictures/p%20/comments", JSON + TRACE),
    "not JSON": request(NEW, JSON + TRACE, '{"text":'),
    "a key twice": request(NEW, JSON + TRACE, '{"text":"x","text":"x"}'),
    "too long": request(NEW, JSON + TRACE, '{"text":"%s"}' % ("x" * 10_001)),
    "nothing": request(NEW, JSON + TRACE, ""),
    "another type": request(NEW, TRACE + "content-type: text/plain\r\n"),
    "compressed": request(NEW, JSON + TRACE + "content-encoding: gzip\r\n"),
    "a header twice": request(NEW, JSON + JSON + TRACE),
    "too many headers": request(NEW, JSON + TRACE + "".join(f"x{n}: y\r\n" for n in range(101))),
    "the connection's end": request(NEW, JSON + "connection: close\r\n"),
    "an old version": request(NEW, version="1.0"),
    "an old version that would stay": request(NEW, JSON + "connection: keep-alive\r\n", version="1.0"),
    "a word after the end": request(NEW, JSON + "connection: close\r\n") + b"GARBAGE",
}
REFUSED = {  # for what is behind a request that might have been answered at once: 400 is all that its caller hears
    "something else behind it": request(NEW) + b"\0\r\n\r\n",
    "a byte too many": request(NEW) + b"X",
    "a method that is none behind it": request(NEW) + b"GARBAGE /x HTTP/1.1\r\n\r\n",
    "a bad header behind it": request(NEW) + b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
    "long headers behind it": request(NEW) + b"GET / HTTP/1.1\r\nx: " + b"y" * 66_000,
}
ORDINARY = {
    "a query": request(NEW + "?x=1", JSON + TRACE),
    "a wait": request(NEW, JSON + "prefer: wait=0\r\n"),
    "an announcement": request(NEW, JSON + "expect: something\r\n"),
    "chunks": f'{NEW} HTTP/1.1\r\n{JSON}transfer-encoding: chunked\r\n\r\nc\r\n{{"text":"x"}}\r\n0\r\n\r\n'.encode(),
    "another method": request("PUT /comments/c1", JSON + TRACE),
    "a read": request("GET /comments/c1", TRACE, ""),
    "nowhere": request("POST /comments", JSON + TRACE),
    "a very long path": request(f"POST /pictures/{'p' * 2048}/comments", JSON + TRACE),
    "a path longer than any": request(f"POST /pictures/{'p' * 65_600}/comments", JSON + TRACE),
}
ALL = PROMPT | REFUSED | ORDINARY


@pytest.mark.parametrize("name", ALL)
async def test_both_ways_give_the_same_answer(both: tuple[Served, Served], name: str) -> None:
    (one, at_once, taken), (other, never, also_taken) = [await _came_of(each, ALL[name]) for each in both]
    assert one == other
    assert one.startswith(b"HTTP/1.1 ")
    assert taken == also_taken == int(one.startswith(b"HTTP/1.1 202 "))
    assert (at_once, never) == (int(name in PROMPT), 0)


async def _came_of(one: Served, text: bytes) -> tuple[bytes, int, int]:
    """(the answer, how many were given without a task, how many commands were sent)."""
    given, taken = len(one.prompt), len(one.world.queue.taken)
    answer = _CHOSEN.sub(b"#", await one.whole(text))
    await one.world.gateway.drained()
    return answer, len(one.prompt) - given, len(one.world.queue.taken) - taken


async def test_both_ways_send_the_same_commands(both: tuple[Served, Served]) -> None:
    prompt, ordinary = both
    key = "idempotency-key: same\r\nheadrace-actor: me\r\n" + TRACE
    for each in both:
        await each.whole(request(NEW, JSON + key, '{"text":"\\u00e9"}'))
    one, other = prompt.world.queue.taken[-1], ordinary.world.queue.taken[-1]
    assert one.stream == other.stream
    assert (one.id, one.data, one.fingerprint, one.actor, one.traceparent) == (
        other.id,
        other.data,
        other.fingerprint,
        other.actor,
        other.traceparent,
    )


async def test_a_body_in_pieces_takes_the_ordinary_way(one: Served) -> None:
    reader, writer = await one.connect()
    text = request(NEW)
    for cut in (len(text) - 12, len(text) - 5):  # after the headers; within the body
        writer.write(text[:cut])
        await _parsed(one)
        writer.write(text[cut:])
        assert (await answer_from(reader))[0] == 202
    assert one.prompt == ["/commands"] * 2
    assert len(one.world.queue.taken) == 4
    writer.close()
    await writer.wait_closed()


async def _parsed(one: Served) -> None:
    """What was written before is parsed: another connection's post, written after it, has been answered."""
    await one.whole(request("POST /commands", JSON, '{"name":"comment.delete","data":{"comment_id":"c1"}}'))


async def test_answers_keep_the_order_of_their_requests(one: Served) -> None:
    one.world.queue.open.clear()
    reader, writer = await one.connect()
    last = request("POST /nowhere", JSON)
    writer.write(request(NEW, JSON, '{"text":"x","comment_id":"a"}') + request(NEW, JSON, '{"text":"x","comment_id":"b"}') + last)
    await until(lambda: one.world.queue.calls)
    writer.write(request(NEW, JSON, '{"text":"x","comment_id":"c"}'))
    one.world.queue.open.set()
    answers = [await answer_from(reader) for _ in range(4)]
    assert [status for status, _, _ in answers] == [202, 202, 404, 202]
    assert [body.get("stream") for _, _, body in answers] == ["comment-a", "comment-b", None, "comment-c"]
    assert one.prompt[0] == ROUTE
    writer.close()
    await writer.wait_closed()


async def test_a_connection_serves_one_prompt_answer_after_another(one: Served) -> None:
    reader, writer = await one.connect()
    before = HTTP.counts[ROUTE, "202"]
    for _ in range(3):
        writer.write(request(NEW))
        assert (await answer_from(reader))[0] == 202
    assert (one.prompt, HTTP.counts[ROUTE, "202"] - before) == ([ROUTE] * 3, 3)
    writer.close()
    await writer.wait_closed()


async def test_a_caller_that_left_has_still_given_its_command(one: Served) -> None:
    one.world.queue.open.clear()
    before = HTTP.counts[ROUTE, "202"]
    _, writer = await one.connect()
    writer.write(request(NEW))
    await until(lambda: one.world.queue.calls)
    writer.transport.abort()
    assert (await one.whole(request("GET /healthz", "", ""))).startswith(b"HTTP/1.1 200")  # it has seen the end by now
    one.world.queue.open.set()
    await until(lambda: HTTP.counts[ROUTE, "202"] > before)
    assert len(one.world.queue.taken) == 1
    assert (await one.whole(request(NEW))).startswith(b"HTTP/1.1 202")


async def test_stopping_waits_for_an_answer_without_a_task() -> None:
    async with served() as one:
        one.world.queue.open.clear()
        reader, writer = await one.connect()
        writer.write(request(NEW))
        await until(lambda: one.world.queue.calls)
        asyncio.get_running_loop().call_later(0.1, one.world.queue.open.set)
    status, headers, _ = await answer_from(reader)
    assert (status, headers["connection"], one.prompt) == (202, "close", [ROUTE])
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
