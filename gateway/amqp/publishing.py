"""What the door says to RabbitMQ: dead letters and receipts. Over a connection of its own, opened when first needed.

A broker in trouble (memory, disk) stops reading a connection that publishes; acknowledgements must not wait behind that.
Names and arguments of queues and exchanges are a contract (docs/amqp.md).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from aio_pika import ExchangeType, Message
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import DeliveryError

from runtime.amqp import AmqpAway, amqp_errors, open_amqp

COMMANDS: Final = "headrace.commands"
DEAD: Final = "headrace.commands.dead"
DELIVERY_LIMIT: Final = 20
"""Connections that may end, by a crash or otherwise, with the same message in hand; then it is dead-lettered."""
ANSWER_SECONDS: Final = 10.0
_QUEUE: Final[dict[str, Any]] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",  # what dead-lettering at least once asks for
}


async def declared(channel: AbstractChannel) -> str:
    """Exchanges and queues are there, as they always were; the name of the dead-letter exchange."""
    dead = await channel.declare_exchange(DEAD, ExchangeType.TOPIC, durable=True)
    dead_queue = await channel.declare_queue(DEAD, durable=True, arguments={"x-queue-type": "quorum"})
    await dead_queue.bind(dead, "#")
    commands = await channel.declare_exchange(COMMANDS, ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue(COMMANDS, durable=True, arguments=_QUEUE)
    await queue.bind(commands, "#")
    return DEAD


class Publisher:
    """Used inside `open_publisher`. After any trouble its connection is given up, and the next message opens another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opening = asyncio.Lock()
        self._held = AsyncExitStack()
        self._channel: AbstractChannel | None = None

    async def publish(self, message: Message, exchange: str, key: str) -> bool:
        """Confirmed by the broker; False when it came back or was refused: nobody is there, or who is there is full. Raises AmqpAway."""
        channel = await self._ready()
        try:
            with amqp_errors():
                target = channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=False)
                await target.publish(message, key, mandatory=True, timeout=ANSWER_SECONDS)
        except AmqpAway as wrong:
            if isinstance(wrong.__cause__, DeliveryError):
                return False
            self.close()
            raise
        return True

    def close(self) -> None:
        """The next message opens a connection anew."""
        self._channel = None

    async def _ready(self) -> AbstractChannel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                await self._held.aclose()
                self._channel = await self._opened()
            return self._channel

    async def _opened(self) -> AbstractChannel:
        async with AsyncExitStack() as opened:
            connection = await opened.enter_async_context(open_amqp(self._url, "headrace gateway, publishing"))
            with amqp_errors():
                async with asyncio.timeout(ANSWER_SECONDS):
                    try:
                        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                    except RuntimeError as wrong:
                        raise AmqpAway("closed") from wrong
                    await declared(channel)
            self._held = opened.pop_all()
            return channel

    async def ended(self) -> None:
        """Whatever is open."""
        await self._held.aclose()


@asynccontextmanager
async def open_publisher(url: str) -> AsyncIterator[Publisher]:
    """Closed with the block; a connection only once something is published."""
    publisher = Publisher(url)
    try:
        yield publisher
    finally:
        await publisher.ended()
