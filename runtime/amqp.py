"""RabbitMQ: connections with bounded waits, vendor errors translated at this edge.

A connection is used until it is lost; whoever holds it takes up a new one. The library's "robust" connections are not used: they bring
channels back behind one's back, and a message received before cannot be acknowledged after.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import AMQPError, ChannelInvalidStateError
from yarl import URL

from runtime.errors import Retryable

CONNECT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0
HEARTBEAT_SECONDS: Final = 10
"""Unless the URL says another: a broker that is silent for three of these is given up."""


class AmqpAway(Retryable):
    """The broker did not answer in time, closed the connection, or refused what was asked."""


@contextmanager
def amqp_errors() -> Iterator[None]:
    """Vendor errors out, AmqpAway in. What the broker said stays out of messages: it may name users."""
    before = _cancellations()
    try:
        yield
    except asyncio.CancelledError as wrong:
        if _cancellations() > before:
            raise
        raise AmqpAway("closed") from wrong  # nobody cancelled us: a closing channel cancels what waits for its confirmations
    except (AMQPError, ChannelInvalidStateError, OSError, TimeoutError) as wrong:
        if _cancellations() > before:  # while it connects, the library makes errors of cancellations
            raise asyncio.CancelledError from wrong
        raise AmqpAway(type(wrong).__name__) from wrong


def _cancellations() -> int:
    """Asked of this task so far. Compared, never taken as it is: a task group of Python 3.11 may leave one behind that it made itself."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


@asynccontextmanager
async def open_amqp(url: str, name: str) -> AsyncIterator[AbstractConnection]:
    """One connection, shown to operators as `name`. Raises AmqpAway when there is none to be had."""
    with amqp_errors():
        connection = await aio_pika.connect(_bounded(url), timeout=CONNECT_SECONDS, client_properties={"connection_name": name})
    try:
        yield connection
    finally:
        with suppress(AmqpAway), amqp_errors():  # it is gone either way
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.close()


def _bounded(url: str) -> URL:
    parsed = URL(url)
    return parsed if "heartbeat" in parsed.query else parsed.update_query(heartbeat=str(HEARTBEAT_SECONDS))
