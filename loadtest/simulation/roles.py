"""What each process does with its time. Commands are numbers in the order of arrival; `World` writes down what became of each, and when."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from events.dynamo_store import CALLS_AT_ONCE as APPENDS_AT_ONCE
from events.ids import Partition
from gateway.parcelling import Pace, Parcelling
from gateway.sender import CALLS_AT_ONCE as SENDS_AT_ONCE
from loadtest.model.facts import Cost
from loadtest.simulation.engine import Process, Then
from loadtest.simulation.queue import FifoQueue, Message
from workers.pacing import FULL, SHORT_SECONDS, resting
from workers.packing import CALL_BYTES, GROUPS

if TYPE_CHECKING:
    from gateway.parcelling import Parcel
    from loadtest.simulation.world import World


class Gateway:
    """Its buffer is the real one."""

    def __init__(self, world: "World", process: Process, cost: Cost, pace: Pace, partitions: int) -> None:
        self._world, self._process, self._cost = world, process, cost
        self._plan: Parcelling[int] = Parcelling(partitions, pace)
        self._body = bytes(world.bytes.envelope)
        self._calls = 0
        self._planned = float("inf")

    def arrive(self, commands: list[tuple[int, int]]) -> None:
        """(number, partition) of what came in one moment."""

        def buffered() -> None:
            now = self._world.clock.now
            for number, partition in commands:
                self._plan.add(Partition(partition), self._body, number, now)
            self._pump()

        self._process.work(len(commands) * self._cost.ms_a_command / 1000, buffered)

    def _pump(self) -> None:
        now = self._world.clock.now
        due = self._plan.due(now) if self._calls < SENDS_AT_ONCE else None
        if due is None:
            return
        if due > 0:
            if now + due < self._planned or self._planned <= now:
                self._planned = now + due
                self._world.clock.after(due, self._pump)
            return
        for call in self._plan.take(now):
            self._calls += 1
            self._process.work(self._cost.ms_a_call / 1000, lambda call=call: self._send(call))  # type: ignore[misc]

    def _send(self, call: "list[Parcel[int]]") -> None:
        messages = [Message(parcel.partition, parcel.items) for parcel in call]
        count = sum(len(each.commands) for each in messages)

        def confirmed() -> None:
            self._calls -= 1
            for parcel in call:
                self._plan.confirmed(parcel)
            for each in messages:
                self._world.note("accepted", each.commands)
            self._world.commands.sent(messages)
            self._pump()

        self._world.call("send", count, confirmed)


class Consumer:
    """One process that reads a queue: one receive at a time, some batches side by side, each deleted when `work` is done with it."""

    def __init__(
        self, world: "World", source: tuple[FifoQueue, int], process: Process, cost: Cost, work: Callable[[list[Message], Then], None]
    ) -> None:
        """`source`: its queue, and how many batches it works side by side."""
        self._world, (self._queue, self._free), self._process, self._cost, self._work = world, source, process, cost, work
        self._asking = False
        self._ask()

    def _ask(self) -> None:
        if not self._asking and self._free:
            self._asking = True
            self._queue.receive(self._received)

    def _received(self, messages: list[Message]) -> None:
        count = sum(len(each.commands) for each in messages)

        def here() -> None:
            self._asking = False
            self._free -= 1
            self._process.work(self._cost.ms(1, count) / 1000, lambda: self._work(messages, done))
            self._ask()

        def done() -> None:
            self._world.call("delete", len(messages), deleted)

        def deleted() -> None:
            self._queue.deleted(messages)
            self._free += 1
            self._ask()

        self._world.call("receive", count, here)


class Appending:
    """What a command worker does with its batches: every command is a commit of its own stream; a few calls at once, of all its batches."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._calls: deque[tuple[list[tuple[int, int]], Then]] = deque()
        self._free = APPENDS_AT_ONCE

    def __call__(self, messages: list[Message], then: Then) -> None:
        commands = [(number, each.group) for each in messages for number in each.commands]
        most = self._world.profile.append_most
        calls = [commands[at : at + most] for at in range(0, len(commands), most)]
        left = len(calls)

        def one_less() -> None:
            nonlocal left
            left -= 1
            if not left:
                then()

        self._calls.extend((call, one_less) for call in calls)
        self._next()

    def _next(self) -> None:
        while self._free and self._calls:
            self._free -= 1
            call, then = self._calls.popleft()
            self._world.call("append", len(call), partial(self._ended, call, then))

    def _ended(self, call: list[tuple[int, int]], then: Then) -> None:
        self._free += 1
        self._world.note("appended", [number for number, _ in call])
        self._world.stored(call)
        self._next()
        then()


class Shard:
    """A shard of the stream and the relay that reads it: woken by the worker's notice, then at the relay's own pace."""

    def __init__(self, world: "World", process: Process, cost: Cost, gather: float) -> None:
        self._world, self._process, self._cost, self._gather = world, process, cost, gather
        self._commits: deque[tuple[int, int]] = deque()
        self._resting = True
        self._last = float("-inf")

    def stored(self, commits: list[tuple[int, int]]) -> None:
        """(number, partition)."""
        self._commits.extend(commits)
        if self._resting:
            self._resting = False
            self._world.clock.after(max(0.0, self._last + SHORT_SECONDS - self._world.clock.now), self._read)

    def _read(self) -> None:
        self._last = self._world.clock.now
        self._world.call("read", min(FULL, len(self._commits)), self._page)

    def _page(self) -> None:
        page = [self._commits.popleft() for _ in range(min(FULL, len(self._commits)))]
        if not page:
            self._resting = True
            return
        self._process.work(self._cost.ms(1, len(page)) / 1000, lambda: self._publish(page))

    def _publish(self, page: list[tuple[int, int]]) -> None:
        groups: dict[int, list[int]] = {}
        for number, partition in page:
            groups.setdefault(partition % GROUPS, []).append(number)
        messages = [Message(group, commands) for group, commands in sorted(groups.items())]
        calls = -(-len(page) * self._world.bytes.commit // CALL_BYTES)
        left = calls

        def published() -> None:
            nonlocal left
            left -= 1
            if left:
                return
            self._world.note("published", [number for number, _ in page])
            self._world.call("deliver", len(page), lambda: self._world.deliver(messages))
            rest = resting(len(page), self._world.clock.now - self._last, self._gather)
            self._world.clock.after(rest, self._read)

        for _ in range(calls):
            self._world.call("publish", len(page) // calls, published)


class Projecting:
    """What a projector does with a batch: one transaction. `noted`: what it makes of them, if anybody asks."""

    def __init__(self, world: "World", noted: str) -> None:
        self._world, self._noted = world, noted

    def __call__(self, messages: list[Message], then: Then) -> None:
        def committed() -> None:
            if self._noted:
                for each in messages:
                    self._world.note(self._noted, each.commands)
            then()

        self._world.call("transaction", sum(len(each.commands) for each in messages), committed)
