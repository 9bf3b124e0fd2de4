"""A relay: each of its shards read at the pace of `workers.pacing`, a page packed by message group as `workers.packing` does, and published."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from loadtest.model.fitting import Hop
from loadtest.simulation.backends import Services, together
from loadtest.simulation.engine import Cpu, Do, Machine
from loadtest.simulation.queues import FifoQueue, Message
from workers.pacing import FULL, IDLE_SECONDS, LONG_SECONDS, MANY, SHORT_SECONDS
from workers.packing import CALL_BYTES, ENTRIES

_PAGE, _PUBLISH = "dynamodbstreams.GetRecords", "sns.PublishBatch"


@dataclass(frozen=True, slots=True)
class Packing:
    """`share`: of every page, what a slice plays (1 of so many); `group`: of a command; `commit_bytes`: of one commit in a parcel."""

    share: int
    commit_bytes: int
    group: Callable[[int], int]
    published: Callable[[list[int]], None]


class Topic:
    """SNS FIFO in front of its queues, at most so many messages of a group a second."""

    def __init__(self, services: Services, queues: tuple[FifoQueue, ...]) -> None:
        self._services, self._engine, self._queues = services, services.engine, queues
        self._free: dict[int, float] = {}
        """By group: when it takes the next message."""

    def publish(self, messages: list[Message], weight: float, then: Do) -> None:
        """One call; answered when the last of its groups took its message."""
        now, most = self._engine.now, self._services.backend.topic_group_per_s
        starts = [max(now, self._free.get(message.group, 0.0)) for message in messages]
        for message, start in zip(messages, starts, strict=True):
            self._free[message.group] = start + 1 / most
        held = max(starts) - now
        items = sum(len(message.items) for message in messages)
        self._services.call(_PUBLISH, items, lambda: self._engine.after(held, lambda: self._taken(messages, then)), weight)

    def _taken(self, messages: list[Message], then: Do) -> None:
        self._engine.after(self._services.backend.to_topic_queues, lambda: self._deliver(messages))
        then()

    def _deliver(self, messages: list[Message]) -> None:
        for queue in self._queues:
            queue.send(messages)

    def told(self) -> None:
        """The relay says that a page was published."""
        for queue in self._queues:
            for called in queue.called:
                called()


@dataclass(slots=True, eq=False)
class Shard:
    """Records that can be read, oldest first."""

    records: deque[int] = field(default_factory=deque)
    moved: float = 0.0
    """When it last brought something."""
    called: bool = False
    """Since it was last asked."""
    resting: int = 0
    """Number of the rest that a call ends; 0: it is at work."""


class Relay:
    """One process and its shards."""

    def __init__(self, topic: Topic, services: Services, cpu: tuple[Machine, Hop], packing: Packing) -> None:
        machine, self._hop = cpu
        self._topic, self._services, self._engine, self._packing = topic, services, services.engine, packing
        self.cpu = Cpu(machine)
        self._rests = 0

    def read(self, shard: Shard) -> None:
        """The next page."""
        asked, shard.called, shard.resting = self._engine.now, False, 0
        weight = 1 / self._packing.share
        self.cpu.run(self._hop.ms_per_call / 1000, lambda: self._services.call(_PAGE, 0, lambda: self._page(shard, asked), weight))

    def call(self, shard: Shard) -> None:
        """The command worker says that something was appended."""
        shard.called = True
        if shard.resting and not shard.records:
            self._wake(shard)

    def _wake(self, shard: Shard) -> None:
        shard.resting = 0
        self.read(shard)

    def _page(self, shard: Shard, asked: float) -> None:
        most = max(1, FULL // self._packing.share)
        page = [shard.records.popleft() for _ in range(min(most, len(shard.records)))]
        if not page:
            self._idle(shard)
            return
        shard.moved = self._engine.now
        seconds = self._hop.ms_per_command * self._packing.share * len(page) / 1000
        self.cpu.run(seconds, lambda: self._publish(shard, asked, page, self._rounds(page)))

    def _rounds(self, page: list[int]) -> Iterator[list[list[Message]]]:
        """Rounds of calls: of one group at most one parcel in flight."""
        groups: dict[int, list[int]] = {}
        for number in page:
            groups.setdefault(self._packing.group(number), []).append(number)
        fit = max(1, CALL_BYTES // self._packing.commit_bytes)
        while groups:
            calls: list[list[Message]] = []
            size = 0
            for group in sorted(groups):
                parcel, rest = groups[group][:fit], groups[group][fit:]
                if not calls or len(calls[-1]) == ENTRIES or size + len(parcel) > fit:
                    calls.append([])
                    size = 0
                calls[-1].append(Message(group, parcel))
                size += len(parcel)
                if rest:
                    groups[group] = rest
                else:
                    del groups[group]
            yield calls

    def _publish(self, shard: Shard, asked: float, page: list[int], rounds: Iterator[list[list[Message]]]) -> None:
        calls = next(rounds, None)
        if calls is None:
            self._packing.published(page)
            self._topic.told()
            self._rest(shard, asked, len(page) * self._packing.share)
            return
        every = together(len(calls), lambda: self._publish(shard, asked, page, rounds))
        for call in calls:
            self.cpu.run(self._hop.ms_per_call / 1000, lambda call=call: self._topic.publish(call, 1 / self._packing.share, every))  # type: ignore[misc]

    def _rest(self, shard: Shard, asked: float, records: int) -> None:
        """As `workers.pacing.Pace.rest` after a page."""
        gather = SHORT_SECONDS + (LONG_SECONDS - SHORT_SECONDS) * min(1.0, records / MANY)
        self._engine.at(self._engine.now if records >= FULL else asked + gather, lambda: self.read(shard))

    def _idle(self, shard: Shard) -> None:
        """As there after an empty one: until called, and ever more rarely."""
        if shard.called:
            self.read(shard)
            return
        self._rests += 1
        rest = shard.resting = self._rests
        seconds = max(SHORT_SECONDS, min(IDLE_SECONDS, (self._engine.now - shard.moved) / 4))
        self._engine.after(seconds, lambda: self._wake(shard) if shard.resting == rest else None)
