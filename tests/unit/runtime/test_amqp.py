"""What is made of the AMQP library's errors, and of its cancellations."""

import asyncio

import pytest
from aiormq.exceptions import ChannelInvalidStateError

from runtime.amqp import AmqpAway, amqp_errors
from runtime.times import Micros
from workers.amqp.exchange import Exchange
from workers.amqp.messages import EventMessage


async def waiting(future: "asyncio.Future[None]") -> None:
    with amqp_errors():
        await future


async def test_a_confirmation_that_the_library_cancelled_is_an_error_and_our_own_cancellation_stays_one() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waiting(future))
    await asyncio.sleep(0)
    future.cancel()
    with pytest.raises(AmqpAway):
        await task
    task = asyncio.create_task(waiting(asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_vendor_errors_are_translated() -> None:
    with pytest.raises(AmqpAway, match="ChannelInvalidStateError"), amqp_errors():
        raise ChannelInvalidStateError


class Closing:
    """An exchange whose channel closes while it waits for the broker."""

    def __init__(self) -> None:
        self.confirmation: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def publish(self, *_: object, **__: object) -> None:
        await self.confirmation


async def test_a_channel_that_closes_under_a_publish_confirms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange, closing = Exchange("amqp://x/", "test"), Closing()
    monkeypatch.setattr(exchange, "_exchange", closing)
    monkeypatch.setattr(exchange, "_alive", lambda: True)
    event = EventMessage("comment.created", "comment-1@1", b"{}", Micros(0), "c")
    publishing = asyncio.create_task(exchange.publish([event, event]))
    await asyncio.sleep(0.01)
    closing.confirmation.cancel()
    with pytest.raises(AmqpAway):
        await publishing
