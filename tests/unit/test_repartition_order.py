"""The whole protocol on a clock that jumps: gateways, a provisioner, the queue and a worker. Whoever awaited a 202 is decided in order."""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from events.envelope import Command
from events.parcel import read_commands
from gateway.command_queue import Message, Sent
from gateway.following import Follower
from gateway.parcelling import BufferFull
from gateway.sender import NotSent, Sender
from headrace.provisioning.repartition import Change, Depth, Times
from runtime.errors import Retryable
from tests.support.fake_facts import FakeFacts
from tests.support.virtual_time import run_virtually
from tests.unit.gateway.test_sender import Marks, prepared


@dataclass(frozen=True)
class Load:
    """`pace`: seconds between a caller's commands, at most; `slow`: of the messages, this share lies in its group for up to 8 s."""

    callers: int
    pace: float
    slow: float


CROWD, FEW = Load(12, 0.5, 1.0), Load(2, 4.0, 0.3)


class Unanswered(Retryable):
    """Scripted: the call was carried out or not, and nobody knows."""


@dataclass
class Groups:
    """SQS's FIFO queue and a worker: groups side by side, each in order and in its own time."""

    chance: random.Random
    slow: float
    waiting: dict[int, deque[list[Command]]] = field(default_factory=lambda: defaultdict(deque))
    decided: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    working: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)

    async def send(self, messages: Sequence[Message]) -> list[Sent]:
        await asyncio.sleep(self.chance.uniform(0.01, 1.0))
        for message in messages:
            parcel = read_commands(message.body)
            self.numbers.add(parcel.partitions)
            self.waiting[message.partition].append(parcel.commands)
            if message.partition not in self.working:
                self.working[message.partition] = asyncio.create_task(self._work(message.partition))
        if self.chance.random() < 0.05:
            raise Unanswered
        return [Sent.YES] * len(messages)

    async def _work(self, group: int) -> None:
        while self.waiting[group]:
            await asyncio.sleep(self.chance.uniform(0.0, 8.0) if self.chance.random() < self.slow else 0.01)
            for command in self.waiting[group].popleft():
                story = self.decided[command.stream]
                if command.accepted_at not in story:
                    story.append(command.accepted_at)
        del self.working[group]

    async def depth(self) -> int:
        """In flight too; of a group that is worked on, at least one."""
        return sum(map(len, self.waiting.values())) + len(self.working)


async def caller(stream: str, gateways: Sequence[Sender], stop: asyncio.Event, pace: float) -> int:
    """How many were accepted: each after the one before, through any gateway."""
    number, chance = 0, random.Random(stream)
    while not stop.is_set():
        try:
            await chance.choice(gateways).add(prepared(number, stream))
            number += 1
            await asyncio.sleep(chance.uniform(0.0, pace))
        except (BufferFull, NotSent):
            await asyncio.sleep(1.0)
    return number


async def scene(seed: int, load: Load, times: Times, depth: Depth | None = None) -> tuple[dict[str, list[int]], dict[str, int], Groups]:
    """Two changes under load; the stories, and how many were accepted on each stream."""
    chance, loop = random.Random(seed), asyncio.get_running_loop()
    queue, facts, stop = Groups(chance, load.slow), FakeFacts(16), asyncio.Event()
    gateways = [Sender(queue, 16, Marks()) for _ in range(3)]
    followers = [Follower(facts, each, clock=loop.time) for each in gateways]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in gateways]
        running += [tasks.create_task(each.run()) for each in followers]
        streams = [f"comment-{number}" for number in range(load.callers)]
        posting = {each: tasks.create_task(caller(each, gateways, stop, load.pace)) for each in streams}
        for partitions in (7, 32):
            await asyncio.sleep(chance.uniform(5, 15))
            change = Change(facts, depth or queue.depth, asyncio.Event(), lambda _: None, times)
            change.clock = loop.time
            await change.to(partitions)
        await asyncio.sleep(10)
        stop.set()
        accepted = {stream: await task for stream, task in posting.items()}
        while queue.working:
            await asyncio.wait(queue.working.values())
        for task in running:
            task.cancel()
    return dict(queue.decided), accepted, queue


def in_order(decided: dict[str, list[int]], accepted: dict[str, int]) -> bool:
    """Everything accepted was decided, after everything accepted before it."""
    return all(story[:count] == list(range(count)) for story, count in ((decided[s], n) for s, n in accepted.items()))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("load", [CROWD, FEW], ids=["crowd", "few"])
def test_nothing_is_lost_and_nothing_overtakes(load: Load, seed: int) -> None:
    decided, accepted, queue = run_virtually(scene(seed, load, Times(empty=3.0)))
    assert in_order(decided, accepted)
    assert queue.numbers == {16, 7, 32}
    assert min(accepted.values()) >= 3


async def blind() -> int:
    return 0


@pytest.mark.parametrize(
    ("load", "times", "depth"),
    [(CROWD, Times(still=0.0, empty=0.0), blind), (CROWD, Times(empty=0.0), blind), (FEW, Times(still=0.0, empty=0.0), None)],
    ids=["neither", "no look at the queue", "no stillness"],
)
def test_each_of_the_two_waits_is_needed(load: Load, times: Times, depth: Depth | None) -> None:
    """Without it some command overtakes another; so the test above is known to see it."""
    assert not all(in_order(*run_virtually(scene(seed, load, times, depth))[:2]) for seed in range(40))
