"""A second look at the queue, beside a poll that does not notice: when it is made, and when it is spared."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any, cast

import pytest

from runtime.errors import Retryable
from tests.support.scripted_queue import QueueAway, ScriptedQueue, delivery
from workers import nudging
from workers.consumer import Handled, consume
from workers.nudging import MOST_SKIPPED, Doubt
from workers.queue import Delivery
from workers.waking import Waker

M1, M2 = delivery("m1"), delivery("m2", "p1")


class Called(Waker):
    """A waker that the test calls."""

    def __init__(self) -> None:
        super().__init__(cast(Any, None), "accepted")

    async def listen(self, stop: asyncio.Event) -> None:
        await stop.wait()

    def call(self) -> None:
        self.last_called = monotonic()
        self._event.set()


class Unnoticing(ScriptedQueue):
    """Its polls wait for ever; a look gets the next batch, and an empty answer when there is none. None is an error."""

    def __init__(self, *looks: list[Delivery] | None) -> None:
        super().__init__()
        self._looks = list(looks)
        self.looked: asyncio.Queue[int] = asyncio.Queue()
        self.settled = asyncio.Event()
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def receive(self, wait: int) -> list[Delivery]:
        if wait:
            return await super().receive(wait)
        self.looked.put_nowait(len(self._looks))
        await self.going_on.wait()
        found = self._looks.pop(0) if self._looks else []
        if found is None:
            raise QueueAway("look")
        return found

    async def delete(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        self.settled.set()
        return await super().delete(deliveries)


async def done(deliveries: Sequence[Delivery]) -> Handled:
    return Handled(done=list(deliveries))


@pytest.fixture(autouse=True)
def momentary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudging, "MOMENT_SECONDS", 0.001)
    monkeypatch.setattr("workers.polling.LIVELY_SECONDS", 0)
    monkeypatch.setattr("workers.polling.GRACE_SECONDS", 0.01)


async def looking(queue: Unnoticing, waker: Called, lanes: int, stop: asyncio.Event, tasks: asyncio.TaskGroup) -> None:
    tasks.create_task(consume(queue, done, stop, lanes, waker))
    await queue.polling.wait()
    await asyncio.sleep(0)


async def test_a_call_that_the_poll_does_not_notice_is_followed_by_a_look() -> None:
    queue, waker, stop = Unnoticing([M1], [M2]), Called(), asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        await looking(queue, waker, 2, stop, tasks)
        for _ in range(2):
            waker.call()
            await queue.settled.wait()
            queue.settled.clear()
            await asyncio.sleep(0)
        stop.set()
    assert queue.deleted == ["m1", "m2"]


async def test_a_call_in_the_middle_of_a_look_is_followed_by_another() -> None:
    queue, waker, stop = Unnoticing([M1], [M2]), Called(), asyncio.Event()
    queue.going_on.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        await looking(queue, waker, 3, stop, tasks)
        waker.call()
        await queue.looked.get()
        waker.call()
        queue.going_on.set()
        await queue.looked.get()
        while queue.deleted != ["m1", "m2"]:
            await queue.settled.wait()
            queue.settled.clear()
            await asyncio.sleep(0)
        stop.set()


async def test_nothing_is_fetched_that_no_lane_could_begin() -> None:
    queue, waker, stop = Unnoticing([M1]), Called(), asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        await looking(queue, waker, 1, stop, tasks)  # its one lane is the poll's
        waker.call()
        await asyncio.sleep(0.05)  # nothing tells of what is not done
        stop.set()
    assert queue.looked.empty()


async def test_a_poll_that_was_asked_for_after_the_call_needs_no_look() -> None:
    class Noticing(Unnoticing):
        answered = False

        async def receive(self, wait: int) -> list[Delivery]:
            if wait and not self.answered:
                await noticed.wait()
                self.answered = True
                return [M1]
            return await super().receive(wait)

    noticed = asyncio.Event()
    queue, waker, stop = Noticing([M2]), Called(), asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(queue, done, stop, 2, waker))
        await asyncio.sleep(0.01)
        waker.call()
        noticed.set()
        await queue.settled.wait()
        await asyncio.sleep(0.05)
        stop.set()
    assert queue.deleted == ["m1"]
    assert queue.looked.empty()


async def test_what_a_look_brings_after_the_stop_is_given_back() -> None:
    queue, waker, stop = Unnoticing([M1, M2]), Called(), asyncio.Event()
    queue.going_on.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        await looking(queue, waker, 2, stop, tasks)
        waker.call()
        await queue.looked.get()
        stop.set()
        await asyncio.sleep(0)
        queue.going_on.set()
    assert (queue.deleted, queue.extended) == ([], [(["m2", "m1"], 0)])


async def test_a_look_that_fails_costs_nothing_but_itself() -> None:
    queue, waker, stop = Unnoticing(None, [M1]), Called(), asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        await looking(queue, waker, 2, stop, tasks)
        while queue.looked.qsize() < 2:  # the first was in vain: one call is passed over
            waker.call()
            await asyncio.sleep(0.005)
        await queue.settled.wait()
        stop.set()
    assert queue.deleted == ["m1"]
    assert issubclass(QueueAway, Retryable)


def test_looks_in_vain_become_rare_and_one_that_brings_something_makes_them_frequent_again() -> None:
    doubt, gaps = Doubt(), list[int]()
    for _ in range(9):
        gap = 0
        while not doubt.worth():
            gap += 1
        gaps.append(gap)
        doubt.made(brought=False)
    assert gaps == [0, 1, 3, 7, 15, 31, MOST_SKIPPED, MOST_SKIPPED, MOST_SKIPPED]
    doubt.made(brought=True)
    assert [doubt.worth(), doubt.worth()] == [True, True]
