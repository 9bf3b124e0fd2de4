"""Somebody who listens to what the projector "amqp" publishes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aio_pika import ExchangeType
from aio_pika.abc import AbstractIncomingMessage

from runtime.amqp import open_amqp
from workers.amqp.exchange import EXCHANGE

SECONDS: Final = 20.0


class Receiver:
    """Everything received so far, in the order in which it came."""

    def __init__(self) -> None:
        self.got: list[AbstractIncomingMessage] = []
        self._came = asyncio.Condition()

    async def take(self, message: AbstractIncomingMessage) -> None:
        async with self._came:
            self.got.append(message)
            self._came.notify_all()

    async def until(self, count: int) -> list[AbstractIncomingMessage]:
        """Waits for so many in all."""
        async with asyncio.timeout(SECONDS), self._came:
            await self._came.wait_for(lambda: len(self.got) >= count)
        return self.got

    @property
    def ids(self) -> list[str]:
        return [str(each.message_id) for each in self.got]

    def of_stream(self, stream: str) -> list[int]:
        """Versions, as they came."""
        return [body["version"] for body in self.bodies if body["stream"] == stream]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(each.body) for each in self.got]


@asynccontextmanager
async def receiving(url: str, *keys: str, arguments: dict[str, Any] | None = None) -> AsyncIterator[Receiver]:
    """A queue of this block's own, bound to these keys (all)."""
    async with open_amqp(url, "receiver") as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(exclusive=True, arguments=arguments)
        for key in keys or ("#",):
            await queue.bind(exchange, key)
        receiver = Receiver()
        await queue.consume(receiver.take, no_ack=True)
        yield receiver


def firsts(versions: Sequence[int]) -> list[int]:
    """Each version where it came first: what a receiver sees that knows repeats by their ids."""
    return list(dict.fromkeys(versions))
