"""The exchange `headrace.events`: one connection and one channel of this process, opened when wanted, given up at the first fault.

One channel keeps the order of what is sent on it. After a fault nobody knows what the broker has of the messages that were under way, so
the connection is closed with them, and whoever sent them sends them again on the next one.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Final

from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aiormq.abc import DeliveredMessage

from runtime import logs
from runtime.amqp import AmqpAway, amqp_errors, open_amqp
from runtime.lifecycle import backoff
from workers.amqp.messages import EventMessage

EXCHANGE: Final = "headrace.events"
OPEN_SECONDS: Final = 8.0
CONFIRM_SECONDS: Final = 10.0
"""For all messages of one call; well under the time PostgreSQL lets a transaction stand idle."""
MOST_REST: Final = 5.0
_LOG: Final = logs.get("amqp")


class Exchange:
    """Used inside `open_exchange`. All methods raise AmqpAway (Retryable) and nothing else."""

    def __init__(self, url: str, name: str, seconds: float = CONFIRM_SECONDS) -> None:
        self._url, self._name, self._seconds = url, name, seconds
        self._opening = asyncio.Lock()
        self._held = AsyncExitStack()
        self._open_now: tuple[AbstractConnection, AbstractChannel] | None = None
        self._exchange: AbstractExchange | None = None
        self._failures, self._rest_until = 0, 0.0

    async def ready(self) -> None:
        """Connected, with the exchange declared; tries to be when it is not, with growing rests between two tries."""
        async with self._opening:
            if self._alive():
                return
            await self.close()
            if monotonic() < self._rest_until:
                raise AmqpAway("resting")
            try:
                await self._open()
            except AmqpAway as wrong:
                self._failures += 1
                self._rest_until = monotonic() + backoff(self._failures, random.random(), most=MOST_REST)  # noqa: S311 - jitter
                _LOG.warning("no connection", action="connect", error=str(wrong), failures=self._failures)
                raise
            self._failures = 0

    async def publish(self, messages: Sequence[EventMessage]) -> Counter[str]:
        """Send them in this order; returns when the broker has confirmed every one.

        The answer: routing keys to which no queue is bound, and how many messages of each came back.
        """
        exchange = self._exchange
        if exchange is None or not self._alive():
            raise AmqpAway("not connected")
        returned: Counter[str] = Counter()
        faults: list[str] = []
        confirmed = False
        try:
            async with asyncio.timeout(self._seconds), asyncio.TaskGroup() as sending:
                # Tasks begin in this order, and the channel's lock is a queue.
                tasks = [sending.create_task(_send(exchange, each, returned)) for each in messages]
            confirmed = not any(each.cancelled() for each in tasks)  # a group says nothing of a task that was cancelled
        except* AmqpAway as several:
            faults = [str(each) for each in several.exceptions]
        except* TimeoutError:
            faults = [f"not confirmed within {self._seconds:g} s"]
        finally:
            if not confirmed:  # cancelled, too: what is still under way must not be taken for what is sent next
                self._lose(exchange)
        if faults or not confirmed:
            raise AmqpAway(faults[0] if faults else "closed")
        return returned

    async def close(self) -> None:
        """Whatever is open."""
        self._open_now = self._exchange = None
        await self._held.aclose()

    def _alive(self) -> bool:
        return self._exchange is not None and self._open_now is not None and not any(each.is_closed for each in self._open_now)

    def _lose(self, exchange: AbstractExchange) -> None:
        """Never used again, and closed by the next `ready`. It may be lost to another lane before, and the next one open already."""
        if self._exchange is exchange:
            self._exchange = None

    async def _open(self) -> None:
        async with AsyncExitStack() as opened:
            connection = await opened.enter_async_context(open_amqp(self._url, self._name))
            with amqp_errors():
                async with asyncio.timeout(OPEN_SECONDS):
                    channel = await connection.channel(publisher_confirms=True, on_return_raises=False)
                    exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
            self._held, self._open_now, self._exchange = opened.pop_all(), (connection, channel), exchange


async def _send(exchange: AbstractExchange, message: EventMessage, returned: Counter[str]) -> None:
    with amqp_errors():
        confirmed = await exchange.publish(_message(message), message.routing_key, mandatory=True)
    if isinstance(confirmed, DeliveredMessage):  # it came back, and was confirmed after that
        returned[message.routing_key] += 1


def _message(event: EventMessage) -> Message:
    return Message(
        event.body,
        headers={"traceparent": event.traceparent} if event.traceparent else {},
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        correlation_id=event.correlation_id,
        message_id=event.id,
        timestamp=event.at / 1_000_000,
        type=event.routing_key,
    )


@asynccontextmanager
async def open_exchange(url: str, name: str) -> AsyncIterator[Exchange]:
    """Not connected yet; closed with the block."""
    exchange = Exchange(url, name)
    try:
        yield exchange
    finally:
        await exchange.close()
