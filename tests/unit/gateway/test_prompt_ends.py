"""Posts that are answered without a task, and how they may end: not sent, others behind, a handler that breaks, a closed connection."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway import parcelling, protocol
from gateway.answers import Answer
from gateway.command_queue import Sent
from gateway.prompt import PromptCycle
from gateway.protocol import GatewayProtocol
from gateway.requests import Scope
from gateway.routing import Found
from tests.unit.gateway.fakes import until
from tests.unit.gateway.test_prompt import NEW, ROUTE, Served, request, served
from tests.unit.gateway.test_protocol import answer_from


@pytest.fixture
async def one() -> AsyncIterator[Served]:
    async with served() as made:
        yield made


async def test_what_is_not_confirmed_is_a_503(one: Served) -> None:
    one.world.queue.decide = lambda messages: [Sent.NEVER] * len(messages)
    answer = await one.whole(request(NEW))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer
    assert b'"code":"unavailable"' in answer
    assert one.prompt == [ROUTE]


async def test_what_the_buffer_does_not_take_is_a_503(one: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcelling, "MAX_WAITING", 0)
    answer = await one.whole(request(NEW))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer
    assert b'"code":"buffer_full"' in answer
    assert one.prompt == [ROUTE]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_body_that_comes_slowly_behind_an_answer_is_waited_for(one: Served, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.0)
    if not at_once:
        one.world.gateway.app.prompt = lambda *_: None  # type: ignore[method-assign]
    one.world.queue.open.clear()
    reader, writer = await one.connect()
    text = request(NEW)
    writer.write(text + text[:-4])
    await until(lambda: one.world.queue.calls)
    one.world.queue.open.set()
    assert (await answer_from(reader))[0] == 202
    writer.write(text[-4:])
    assert (await answer_from(reader))[0] == 202
    assert one.prompt == [ROUTE] * at_once
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("waiting", [True, False])
async def test_a_handler_that_breaks_ends_its_connection_and_nothing_else(one: Served, waiting: bool) -> None:
    app, loop = one.world.gateway.app, asyncio.get_running_loop()
    at_once, begun, future = app.at_once, asyncio.Event(), loop.create_future()
    others: list[dict[str, Any]] = []

    async def broken(found: Found, scope: Scope, body: bytes) -> Answer:
        begun.set()
        await future
        raise AssertionError("it was cancelled")

    app.at_once = broken  # type: ignore[method-assign]
    loop.set_exception_handler(lambda _, context: others.append(context))
    if not waiting:
        future.cancel()
    reader, writer = await one.connect()
    writer.write(request(NEW))
    await begun.wait()
    future.cancel()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    app.at_once = at_once  # type: ignore[method-assign]
    assert (await one.whole(request(NEW))).startswith(b"HTTP/1.1 202 ")
    assert others == []
    writer.close()
    await writer.wait_closed()


def test_an_interrupt_of_the_process_goes_on() -> None:
    async def interrupted() -> Answer:
        raise KeyboardInterrupt

    answers: list[Answer | None] = []
    with pytest.raises(KeyboardInterrupt):
        PromptCycle(_as_driven(interrupted()), lambda _, answer: answers.append(answer), keep_alive=True).advance()
    assert answers == []


def _as_driven(answer: Coroutine[Any, Any, Answer]) -> Coroutine["asyncio.Future[Any]", None, Answer]:
    return answer


@pytest.mark.parametrize("tail", [b"", b"X"], ids=["answered", "refused"])
async def test_a_closed_connection_is_freed_without_the_collector(one: Served, monkeypatch: pytest.MonkeyPatch, tail: bytes) -> None:
    alive: weakref.WeakSet[GatewayProtocol] = weakref.WeakSet()
    made = GatewayProtocol.connection_made

    def noted(self: GatewayProtocol, transport: asyncio.Transport) -> None:
        alive.add(self)
        made(self, transport)

    monkeypatch.setattr(GatewayProtocol, "connection_made", noted)
    with no_collector():
        assert (await one.whole(request(NEW) + tail)).startswith(b"HTTP/1.1 ")
        await until(lambda: not alive)


@contextmanager
def no_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
