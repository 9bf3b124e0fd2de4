"""How the last receive ends: an answer on its way is given back, and a silent queue is not waited for."""

import asyncio
from time import monotonic

import pytest

from runtime.aws import LONG_POLL_SECONDS
from runtime.errors import Retryable
from tests.support.scripted_queue import QueueAway, ScriptedQueue, delivery
from workers import polling
from workers.polling import Polling
from workers.queue import Delivery

M1, M2 = delivery("m1"), delivery("m2")


class Slow(ScriptedQueue):
    """An answer that comes only when `answer` is set."""

    def __init__(self, *batches: list[Delivery] | None) -> None:
        super().__init__(*batches)
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self.answer = asyncio.Event()
        self.cancelled = False

    async def receive(self, wait: int) -> list[Delivery]:
        self.asked.put_nowait(wait)
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return await super().receive(wait)


async def stopped(queue: Slow, answer_after: float | None) -> tuple[list[Delivery], float]:
    """What the last receive brought, and how long the stop took."""
    stop = asyncio.Event()
    last = asyncio.ensure_future(Polling(queue, stop).receive())
    await queue.asked.get()
    stop.set()
    began = monotonic()
    if answer_after is not None:
        asyncio.get_running_loop().call_later(answer_after, queue.answer.set)
    return await last, monotonic() - began


async def test_an_answer_on_its_way_is_given_back_at_once_last_first() -> None:
    queue = Slow([M1, M2])
    found, _ = await stopped(queue, 0.05)
    assert (found, queue.extended, queue.cancelled) == ([], [(["m2", "m1"], 0)], False)


async def test_a_short_poll_is_waited_for_to_its_end() -> None:
    """Nobody knows whether the server noticed that its caller hung up."""
    queue = Slow([M1])
    found, took = await stopped(queue, 0.5)
    assert took > polling.GRACE_SECONDS
    assert (found, queue.extended) == ([], [(["m1"], 0)])


@pytest.mark.parametrize("answer_after", [0.05, None])
async def test_a_long_poll_is_ended_but_for_an_answer_on_its_way(monkeypatch: pytest.MonkeyPatch, answer_after: float | None) -> None:
    monkeypatch.setattr(polling, "LIVELY_SECONDS", 0)
    queue = Slow([M1])
    found, took = await stopped(queue, answer_after)
    assert (found, queue.cancelled) == ([], answer_after is None)
    assert took < polling.SHORT_POLL_SECONDS
    assert queue.extended == ([(["m1"], 0)] if answer_after else [])


async def test_polls_are_short_while_messages_come_and_long_on_a_silent_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, stop = Slow([], [M1], []), asyncio.Event()
    queue.answer.set()
    monkeypatch.setattr(polling, "LIVELY_SECONDS", 0)
    receiving = Polling(queue, stop)
    assert await receiving.receive() == []
    monkeypatch.setattr(polling, "LIVELY_SECONDS", 5)
    assert await receiving.receive() == [M1]
    assert await receiving.receive() == []
    assert [queue.asked.get_nowait() for _ in range(3)] == [LONG_POLL_SECONDS, LONG_POLL_SECONDS, polling.SHORT_POLL_SECONDS]


async def test_an_error_is_the_callers_and_one_while_giving_back_is_no_end() -> None:
    class Lost(Slow):
        async def extend(self, deliveries: object, seconds: int) -> list[Delivery]:  # noqa: ARG002 - the queue's shape
            raise QueueAway("extend")

    with pytest.raises(Retryable):
        await stopped(Slow(None), 0)
    assert (await stopped(Lost([M1]), 0))[0] == []
