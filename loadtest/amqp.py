"""Load through the second door: publishes with confirms, and the receipts of the commands that are waited for.

What the broker confirmed counts as accepted: from then on it is the broker's and the gateway's to hand it over.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage
from msgspec import Struct

from loadtest.wire import Answered
from runtime.amqp import AmqpAway, amqp_errors, open_amqp

EXCHANGE: Final = "headrace.commands"
REPLIES: Final = "amq.rabbitmq.reply-to"
CONFIRM_SECONDS: Final = 10.0
_STATUS: Final = {"applied": 200, "pending": 202, "refused": 400, "failed": 500}


class _Told(Struct):
    status: str = ""


class AmqpPosts:
    """`send` as `loadtest.wire.Connections` does, in AMQP's words; `tasks` holds the publishes under way."""

    def __init__(self, user: str, tasks: asyncio.TaskGroup, exchange: AbstractExchange) -> None:
        self._user, self._tasks, self._exchange = user, tasks, exchange
        self._owed: dict[str, Answered] = {}

    def send(self, name: str, ident: str, body: bytes, answered: Answered, *, wait: bool) -> None:
        """`answered` is called once: confirmed (202), with the receipt (`wait`), or (0) when neither came."""
        if wait:
            self._owed[ident] = answered
        self._tasks.create_task(self._publish(name, ident, body, answered, wait))

    async def _publish(self, name: str, ident: str, body: bytes, answered: Answered, wait: bool) -> None:
        message = Message(
            body,
            content_type="application/json",
            message_id=ident,
            user_id=self._user,
            reply_to=REPLIES if wait else None,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        try:
            with amqp_errors():
                await self._exchange.publish(message, name, timeout=CONFIRM_SECONDS)
        except AmqpAway:
            self._owed.pop(ident, None)
            answered(0, b"", b"")
            return
        if not wait:
            answered(202, b"", b"")

    async def replied(self, message: AbstractIncomingMessage) -> None:
        """A receipt."""
        answered = self._owed.pop(message.correlation_id or "", None)
        if answered is not None:
            status = msgspec.json.decode(message.body, type=_Told).status
            # What was decided against was accepted before: as HTTP tells it, with the outcome in the answer.
            answered(_STATUS.get(status, 422), b"", message.body if status != "rejected" else b'{"outcome":"rejected"}')


@asynccontextmanager
async def open_posts(url: str) -> AsyncIterator[AmqpPosts]:
    """One connection for as long as the load lasts; a load whose broker goes away ends. Raises AmqpAway."""
    async with open_amqp(url, "headrace load") as connection, asyncio.TaskGroup() as tasks:
        with amqp_errors():
            channel: AbstractChannel = await connection.channel()
            posts = AmqpPosts(unquote(urlsplit(url).username or "guest"), tasks, await channel.get_exchange(EXCHANGE))
            replies = await channel.get_queue(REPLIES, ensure=False)
            await replies.consume(posts.replied, no_ack=True)
        yield posts
