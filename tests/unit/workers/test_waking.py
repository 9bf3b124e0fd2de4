"""A wake-up call: at once when called, at once when stopped, and never for ever."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from time import monotonic
from typing import Any, cast

import redis.exceptions

from workers.waking import Waker, call


class Client:
    """A Redis of one subscription: `calls` are its messages; a lost connection is an exception among them."""

    def __init__(self, *calls: object) -> None:
        self._calls = list(calls)
        self.subscribed = 0
        self.quiet = asyncio.Event()

    def pubsub(self, **_: Any) -> AbstractAsyncContextManager["Client"]:
        return nullcontext(self)

    async def subscribe(self, *_: str) -> None:
        self.subscribed += 1

    async def get_message(self, **_: float) -> object:
        if not self._calls:
            self.quiet.set()
            await asyncio.Event().wait()
        call = self._calls.pop(0)
        if isinstance(call, Exception):
            raise call
        return call


async def listened(client: Client) -> Waker:
    waker, stop = Waker(cast(Any, client), "appended"), asyncio.Event()
    async with asyncio.timeout(2), asyncio.TaskGroup() as tasks:
        tasks.create_task(waker.listen(stop))
        await client.quiet.wait()
        began = monotonic()
        stop.set()
    assert monotonic() - began < 0.5  # whatever Redis is waiting for
    return waker


async def test_a_call_wakes_who_waits() -> None:
    waker = await listened(Client(None, {"data": b"1"}))
    async with asyncio.timeout(1):
        await waker.wait(asyncio.Event(), 60)
    assert waker.last_called > 0


async def test_a_lost_connection_is_made_again() -> None:
    client = Client(redis.exceptions.ConnectionError("gone"), OSError("gone"))
    assert (await listened(client)).last_called == 0
    assert client.subscribed == 3


async def test_a_wait_ends_with_its_time_or_with_stop() -> None:
    waker, stop = Waker(cast(Any, None), "appended"), asyncio.Event()
    async with asyncio.timeout(1):
        await waker.wait(stop, 0.001)
        stop.set()
        await waker.wait(stop, 60)


async def test_calling_is_best_effort() -> None:
    class Away:
        async def publish(self, *_: object) -> int:
            raise redis.exceptions.ConnectionError("gone")

    class Hung:
        async def publish(self, *_: object) -> None:
            await asyncio.Event().wait()

    async with asyncio.timeout(2):
        for client in (Away(), Hung()):
            await call(cast(Any, client), "published")
