"""RabbitMQ behind the ports of `line`. The library's errors and types end here.

Messages are taken from the channel below the library's own consumer: that one decodes properties nobody here needs, and a message it
cannot decode would stay unacknowledged without a word. Names and arguments of queues and exchanges are a contract (docs/amqp.md).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import PublishError
from aiormq.abc import AbstractChannel as Underlay
from aiormq.abc import DeliveredMessage

from gateway.amqp.line import Line
from gateway.amqp.messages import Arrived
from gateway.requests import MAX_BODY
from runtime import logs
from runtime.amqp import AmqpAway, amqp_errors, open_amqp
from runtime.metrics import DISCARDS

COMMANDS: Final = "headrace.commands"
DEAD: Final = "headrace.commands.dead"
DELIVERY_LIMIT: Final = 20
"""Connections that may end, by a crash or otherwise, with the same message in hand; then it is dead-lettered."""
PREFETCH: Final = 500
"""Messages taken and not yet acknowledged: with hand-over in a quarter of a second, 2,000 a second and gateway."""
MOST_BYTES: Final = 4 * MAX_BODY
"""A body beyond this is not even kept while its message waits its turn."""
ANSWER_SECONDS: Final = 10.0
MAX_REASON: Final = 500
_QUEUE: Final[dict[str, Any]] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",  # what dead-lettering at least once asks for
}
_LOG: Final = logs.get("amqp_broker")


class RabbitBroker:
    """See gateway.amqp.line.Broker."""

    def __init__(self, url: str, prefetch: int = PREFETCH) -> None:
        self._url, self._prefetch = url, prefetch

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        """As the port says."""
        async with open_amqp(self._url, "headrace gateway") as connection:
            with amqp_errors():
                async with asyncio.timeout(ANSWER_SECONDS):
                    opened = await self._opened(connection)
            yield opened

    async def _opened(self, connection: AbstractConnection) -> "RabbitLine":
        consuming = await connection.channel(publisher_confirms=False)
        publishing = await connection.channel(publisher_confirms=True, on_return_raises=True)
        dead = await declared(consuming)
        await consuming.set_qos(prefetch_count=self._prefetch)
        line = RabbitLine(await consuming.get_underlay_channel(), publishing, await publishing.get_exchange(dead, ensure=False))
        for channel in (consuming, publishing):
            channel.close_callbacks.add(line.lost)
        connection.close_callbacks.add(line.lost)
        await line.begin()
        return line


async def declared(channel: AbstractChannel) -> str:
    """Exchanges and queues are there, as they always were; the name of the dead-letter exchange."""
    dead = await channel.declare_exchange(DEAD, ExchangeType.TOPIC, durable=True)
    dead_queue = await channel.declare_queue(DEAD, durable=True, arguments={"x-queue-type": "quorum"})
    await dead_queue.bind(dead, "#")
    commands = await channel.declare_exchange(COMMANDS, ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue(COMMANDS, durable=True, arguments=_QUEUE)
    await queue.bind(commands, "#")
    return DEAD


class RabbitLine:
    """See gateway.amqp.line.Line. Consuming and publishing have a channel each: a publish that goes wrong closes only its own."""

    def __init__(self, consuming: Underlay, publishing: AbstractChannel, dead: AbstractExchange) -> None:
        self._consuming, self._publishing, self._dead = consuming, publishing, dead
        self._arrived: list[Arrived] = []
        self._news = asyncio.Event()
        self._lost = False
        self._tag = ""

    async def begin(self) -> None:
        """Messages come from now on."""
        answer = await self._consuming.basic_consume(COMMANDS, self._take, timeout=ANSWER_SECONDS)
        self._tag = answer.consumer_tag or ""

    def lost(self, *_: Any) -> None:
        """A channel or the connection is gone."""
        self._lost = True
        self._news.set()

    async def _take(self, message: DeliveredMessage) -> None:
        if len(message.body) > MOST_BYTES:
            DISCARDS.labels("amqp", "too_large").inc()
            _LOG.error("message dead-lettered", action="bury", reason="too_large", bytes=len(message.body))
            with amqp_errors():
                await self._consuming.basic_reject(message.delivery_tag or 0, requeue=False)
            return
        self._arrived.append(_arrived(message))
        self._news.set()

    async def next(self) -> list[Arrived]:
        """Raises AmqpAway once the line is lost: what came over it can no longer be acknowledged."""
        await self._news.wait()
        if self._lost:
            raise AmqpAway("connection lost")
        self._news.clear()
        arrived, self._arrived = self._arrived, []
        return arrived

    async def done(self, tag: int) -> None:
        with amqp_errors():
            await self._consuming.basic_ack(tag, multiple=True)

    async def bury(self, arrived: Arrived, code: str, detail: str) -> None:
        told = {"headrace-reason": code, "headrace-detail": detail[:MAX_REASON], "headrace-user-id": arrived.user_id}
        copy = Message(
            arrived.body,
            headers={**_plain(arrived.headers), **told},
            content_type=arrived.content_type or None,
            content_encoding=arrived.content_encoding or None,
            message_id=arrived.message_id or None,
            reply_to=arrived.reply_to or None,
            correlation_id=arrived.correlation_id or None,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        with amqp_errors():
            await self._dead.publish(copy, arrived.name, mandatory=False, timeout=ANSWER_SECONDS)

    async def reply(self, to: str, correlation_id: str, body: bytes) -> bool:
        message = Message(body, content_type="application/json", correlation_id=correlation_id)
        try:
            with amqp_errors():
                await self._publishing.default_exchange.publish(message, to, mandatory=True, timeout=ANSWER_SECONDS)
        except AmqpAway as wrong:
            if isinstance(wrong.__cause__, PublishError):  # it came back: nobody of that name is there
                return False
            raise
        return True

    async def stop(self) -> None:
        with amqp_errors():
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._consuming.basic_cancel(self._tag)


def _arrived(message: DeliveredMessage) -> Arrived:
    properties = message.header.properties
    return Arrived(
        tag=message.delivery_tag or 0,
        name=message.routing_key or "",
        body=message.body,
        content_type=properties.content_type or "",
        content_encoding=properties.content_encoding or "",
        message_id=properties.message_id or "",
        user_id=properties.user_id or "",
        reply_to=properties.reply_to or "",
        correlation_id=properties.correlation_id or "",
        headers=dict(properties.headers or {}),
    )


def _plain(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Those that surely travel once more: not everything that can be read can be written again."""
    return {name: value for name, value in headers.items() if isinstance(value, str | bool)}
