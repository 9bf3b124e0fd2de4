"""What stands behind a message that is never finished, on a queue that counts receives as SQS does: it is not lost, nor held for ever."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from events.envelope import Command
from events.ids import Partition
from events.memory_store import MemoryStore
from events.parcel import encode_command, pack_commands
from tests.support.group_model import Told
from tests.support.said import REGISTRY, create
from tests.support.scripted_queue import ScriptedQueue
from workers import consumer, polling
from workers.command_worker import CommandWorker
from workers.consumer import consume
from workers.partition_count import PartitionCount
from workers.queue import Delivery
from workers.telling import Teller
from workers.trials import Trial

GROUP = Partition(0)
NEWER = '{"wire":99,"partition":0,"count":0,"commands":[]}'


class Fifo(ScriptedQueue):
    """One group; what is received `most_receives` times and comes back is a dead letter."""

    def __init__(self, bodies: list[str]) -> None:
        super().__init__()
        self.waiting = [Delivery(f"m{number}", "r", f"p{GROUP}", body, 0) for number, body in enumerate(bodies)]
        self.dead: list[str] = []

    async def receive(self, wait: int) -> list[Delivery]:
        self.dead += [each.message_id for each in self.waiting if each.receives >= self.most_receives]
        self.waiting = [replace(each, receives=each.receives + 1) for each in self.waiting if each.message_id not in self.dead]
        return self.waiting[:10] or await super().receive(wait)

    async def delete(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        gone = {each.message_id for each in deliveries}
        self.waiting = [each for each in self.waiting if each.message_id not in gone]
        return await super().delete(deliveries)


class Notes:
    """None are kept: nobody dies here."""

    async def read(self, message_id: str) -> Trial:  # noqa: ARG002 - the notes' shape
        return Trial()

    async def write(self, message_id: str, trial: Trial) -> None: ...

    async def forget(self, message_id: str) -> None: ...


def parcel(*commands: Command) -> str:
    return pack_commands(GROUP, [encode_command(each) for each in commands])


async def emptied(queue: Fifo, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command worker reads the queue until nothing is left."""
    monkeypatch.setattr(polling, "GRACE_SECONDS", 0.01)
    monkeypatch.setattr(polling, "LIVELY_SECONDS", 0)
    told, stop = Told(), asyncio.Event()
    told.begin()
    worker = CommandWorker(store, REGISTRY, PartitionCount(1), (queue, cast(Teller, told), Notes()))
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(queue, worker.handle, stop, 1))
        await queue.polling.wait()
        stop.set()


async def test_behind_a_parcel_of_a_newer_version_everything_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """But not before it was waited for, eight times ten minutes in hand: a newer worker may come."""
    monkeypatch.setattr(consumer, "backoff", lambda *_, **__: consumer.HANDLE_SECONDS)  # the time in hand is over at once
    said = [create(str(number)) for number in range(4)]
    queue, store = Fifo([parcel(said[0]), NEWER, *map(parcel, said[1:])]), MemoryStore()
    await emptied(queue, store, monkeypatch)
    assert ([ident for ident, _ in queue.buried], queue.dead) == (["m1"], [])
    assert [len(await store.load(each.stream)) for each in said] == [1, 1, 1, 1]
