"""RabbitMQ behind the ports of `line`. The library's errors and types end here.

Messages are taken from the channel below the library's own consumer: that one decodes properties nobody here needs, and a message it
cannot decode would stay unacknowledged without a word. What cannot be read even here ends the connection: see `ingress.CAREFUL_FROM`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel as Underlay
from aiormq.abc import DeliveredMessage

from gateway.amqp.line import Line
from gateway.amqp.messages import Arrived
from gateway.amqp.publishing import ANSWER_SECONDS, COMMANDS, DEAD, Publisher, declared, open_publisher
from gateway.requests import MAX_BODY
from runtime.amqp import AmqpAway, amqp_errors, open_amqp

PREFETCH: Final = 500
"""Messages taken and not yet acknowledged: with hand-over in a quarter of a second, 2,000 a second and gateway."""
MAX_REASON: Final = 500


class RabbitBroker:
    """See gateway.amqp.line.Broker."""

    def __init__(self, url: str, prefetch: int = PREFETCH) -> None:
        self._url, self._prefetch = url, prefetch

    @asynccontextmanager
    async def line(self, *, careful: bool = False) -> AsyncIterator[Line]:
        """As the port says."""
        async with open_amqp(self._url, "headrace gateway") as connection, open_publisher(self._url) as publisher:
            with amqp_errors():
                async with asyncio.timeout(ANSWER_SECONDS):
                    opened = await self._opened(connection, publisher, 1 if careful else self._prefetch)
            yield opened

    async def _opened(self, connection: AbstractConnection, publisher: Publisher, prefetch: int) -> "RabbitLine":
        try:
            channel = await connection.channel(publisher_confirms=False)
        except RuntimeError as wrong:  # the library's word for a connection that was closed right after it was opened
            raise AmqpAway("closed") from wrong
        await declared(channel)
        await channel.set_qos(prefetch_count=prefetch)
        underlay = await channel.get_underlay_channel()
        line = RabbitLine(underlay, publisher)
        channel.close_callbacks.add(line.end)
        connection.close_callbacks.add(line.end)
        underlay.on_consumer_cancel_callbacks.add(line.end)
        await line.begin()
        return line


class RabbitLine:
    """See gateway.amqp.line.Line."""

    def __init__(self, consuming: Underlay, publisher: Publisher) -> None:
        self._consuming, self._publisher = consuming, publisher
        self._arrived: list[Arrived] = []
        self._news = asyncio.Event()
        self._rejected = 0
        self._tag = ""
        self.lost = False

    async def begin(self) -> None:
        """Messages come from now on."""
        answer = await self._consuming.basic_consume(COMMANDS, self._take, timeout=ANSWER_SECONDS)
        self._tag = answer.consumer_tag or ""

    def end(self, *_: Any) -> None:
        """The channel or the connection is gone, or the broker sends no more."""
        self.lost = True
        self._news.set()

    async def _take(self, message: DeliveredMessage) -> None:
        self._arrived.append(_arrived(message))
        self._news.set()

    async def next(self) -> list[Arrived]:
        """Raises AmqpAway once the line is lost: what came over it can no longer be acknowledged."""
        await self._news.wait()
        if self.lost:
            raise AmqpAway("connection lost")
        self._news.clear()
        arrived, self._arrived = self._arrived, []
        return arrived

    async def done(self, tag: int) -> None:
        if tag == self._rejected:  # the broker knows it no longer, and all before it was acknowledged
            return
        with amqp_errors():
            await self._consuming.basic_ack(tag, multiple=True)

    async def bury(self, arrived: Arrived, code: str, detail: str) -> None:
        if arrived.oversize:  # the broker has it whole
            with amqp_errors():
                await self._consuming.basic_reject(arrived.tag, requeue=False)
            self._rejected = arrived.tag
            return
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
        if not await self._publisher.publish(copy, DEAD, arrived.name):
            self._publisher.close()  # nobody is bound there any more: opened again, it declares all of it
            raise AmqpAway("no dead-letter queue")

    async def reply(self, to: str, correlation_id: str, body: bytes) -> bool:
        message = Message(body, content_type="application/json", correlation_id=correlation_id)
        return await self._publisher.publish(message, "", to)

    async def stop(self) -> None:
        with amqp_errors():
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._consuming.basic_cancel(self._tag)


def _arrived(message: DeliveredMessage) -> Arrived:
    properties = message.header.properties
    return Arrived(
        tag=message.delivery_tag or 0,
        name=message.routing_key or "",
        body=b"" if len(message.body) > MAX_BODY else message.body,
        oversize=len(message.body) > MAX_BODY,
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
