"""Everything put together for one run, and what is told of it."""

from array import array
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from math import exp
from random import Random
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.parcelling import pace_of
from loadtest.model.facts import Measured
from loadtest.simulation.engine import Clock, Process, Servers, Then, Waits
from loadtest.simulation.queue import FifoQueue, Message
from loadtest.simulation.roles import Appending, Consumer, Gateway, Projecting, Shard
from workers.applying import LANES as RDS_LANES
from workers.commands import LANES as COMMAND_LANES
from workers.pacing import LONG_SECONDS
from workers.projector_cache import LANES as CACHE_LANES

TICK_SECONDS: Final = 0.002
"""What arrives within it arrives together: at a million a second that is what makes a run end."""
DRAIN_SECONDS: Final = 60.0
WARM: Final = 0.2
"""Of the commands, whose times are not told: a run begins with empty queues."""
STAGES: Final = ("accepted", "appended", "published", "visible")
_SPREAD: Final = 500.0
"""A Poisson number of a larger mean is drawn as a normal one."""


class Call(Struct, frozen=True):
    """The wait of a call, and what of the backend's one thread it takes, where it has only one."""

    p50_ms: float
    p99_ms: float
    ms_a_call: float
    us_an_item: float


class Profile(Struct, frozen=True, rename={"source": "from"}):
    """A backend."""

    source: str
    one_server: bool
    calls: dict[str, Call]
    append_most: int


class Sizes(Struct, frozen=True):
    """Commands a second, seconds of arrivals; processes; `cores`: of the one machine that all share, 0: each process has its own."""

    rate: float
    seconds: float
    gateways: int = 1
    workers: int = 1
    relays: int = 1
    projectors: int = 1
    partitions: int = 16
    shards: int = 1
    seed: int = 1
    cores: int = 0
    linger: float = 0.25
    gather: float = LONG_SECONDS


def profiles() -> dict[str, Profile]:
    """By name."""
    return msgspec.json.decode(files("loadtest.simulation").joinpath("latencies.json").read_bytes(), type=dict[str, Profile])


class World:
    """One run."""

    def __init__(self, sizes: Sizes, profile: Profile, measured: Measured) -> None:
        self.sizes, self.profile, self.bytes = sizes, profile, measured.bytes
        self.clock = Clock()
        self._chance = Random(sizes.seed)  # noqa: S311 - a simulation
        self._waits = Waits(Random(sizes.seed + 1))  # noqa: S311
        self._machine = Servers(self.clock, sizes.cores) if sizes.cores else None
        self._backend = Process(self.clock, self._machine) if profile.one_server else None
        self.calls: Counter[str] = Counter()
        self.arrived = array("d")
        self.times = {stage: array("d") for stage in STAGES}
        self.commands, self.rds, self.cache = FifoQueue(), FifoQueue(), FifoQueue()
        self.processes: dict[str, list[Process]] = {}
        costs = measured.roles
        self._gateways = [
            Gateway(self, each, costs["gateway"], pace_of(sizes.linger), sizes.partitions) for each in self._new("gateway", sizes.gateways)
        ]
        for each in self._new("commands", sizes.workers):
            Consumer(self, (self.commands, COMMAND_LANES), each, costs["commands"], Appending(self))
        relays = self._new("relay", sizes.relays)
        self._shards = [Shard(self, relays[at % len(relays)], costs["relay"], sizes.gather) for at in range(sizes.shards)]
        projectors = (((self.rds, RDS_LANES), "projector-rds", "visible"), ((self.cache, CACHE_LANES), "projector-cache", ""))
        for source, name, noted in projectors:
            for each in self._new(name, sizes.projectors):
                Consumer(self, source, each, costs[name], Projecting(self, noted))

    def _new(self, role: str, count: int) -> list[Process]:
        self.processes[role] = [Process(self.clock, self._machine) for _ in range(count)]
        return self.processes[role]

    def call(self, name: str, items: int, then: Then) -> None:
        """A call of AWS or PostgreSQL: it waits for its turn where the backend has one thread, and takes its time."""
        self.calls[name] += 1
        call = self.profile.calls[name]
        wait = self._waits.draw(call.p50_ms / 1000, call.p99_ms / 1000)
        seconds = (call.ms_a_call + items * call.us_an_item / 1000) / 1000
        if self._backend is not None and seconds:
            self._backend.work(seconds, lambda: self.clock.after(wait, then))
        else:
            self.clock.after(wait, then)

    def note(self, stage: str, commands: Sequence[int]) -> None:
        """Now, of these."""
        times, now = self.times[stage], self.clock.now
        for number in commands:
            if times[number] >= 0:
                raise AssertionError(f"command {number} is {stage} twice")
            times[number] = now

    def stored(self, commits: list[tuple[int, int]]) -> None:
        """To the shards of their streams: any shard, but always the same of a command."""
        if len(self._shards) == 1:
            self._shards[0].stored(commits)
            return
        by_shard: dict[int, list[tuple[int, int]]] = {}
        for number, partition in commits:
            by_shard.setdefault(number * 2_654_435_761 % 2**32 % len(self._shards), []).append((number, partition))
        for place, some in by_shard.items():
            self._shards[place].stored(some)

    def deliver(self, messages: list[Message]) -> None:
        """To both projectors."""
        self.rds.sent(messages)
        self.cache.sent(messages)

    def run(self) -> None:
        """Arrivals, then the drain."""
        self._tick()
        end = self.sizes.seconds
        self.clock.run(end)
        while self.clock.now < end + DRAIN_SECONDS and (self._queued() or any(self.depths().values())):
            self.clock.run(self.clock.now + 0.1)

    def _queued(self) -> int:
        return self.commands.depth + self.rds.depth + self.cache.depth

    def _tick(self) -> None:
        if self.clock.now + TICK_SECONDS > self.sizes.seconds:
            return
        for gateway in self._gateways:
            came = self._poisson(self.sizes.rate * TICK_SECONDS / len(self._gateways))
            if came:
                first = len(self.arrived)
                self.arrived.extend([self.clock.now] * came)
                for times in self.times.values():
                    times.extend([-1.0] * came)
                chance, partitions = self._chance, self.sizes.partitions
                gateway.arrive([(number, int(chance.random() * partitions)) for number in range(first, first + came)])
        self.clock.after(TICK_SECONDS, self._tick)

    def _poisson(self, mean: float) -> int:
        if mean > _SPREAD:
            return max(0, round(self._chance.gauss(mean, mean**0.5)))
        count, left = 0, self._chance.random()
        while left > exp(-mean):
            left *= self._chance.random()
            count += 1
        return count

    def depths(self) -> dict[str, int]:
        """Commands that are on their way, by the stage that they have not reached."""
        return {stage: sum(1 for at in times if at < 0) for stage, times in self.times.items()}

    def told(self) -> dict[str, Any]:
        """Latencies in ms, calls per 1,000 commands, how busy processes were, what was left behind."""
        count = len(self.arrived)
        first = int(count * WARM)
        found: dict[str, Any] = {"commands": count, "left": self.depths()}
        for stage, times in self.times.items():
            took = sorted((at - since) * 1000 for at, since in zip(times[first:], self.arrived[first:], strict=True) if at >= 0)
            if took:
                found[f"{stage}_ms"] = {"p50": round(took[len(took) // 2], 1), "p99": round(took[int(len(took) * 0.99)], 1)}
        seconds = self.clock.now
        found["calls_per_1000"] = {name: round(1000 * number / max(1, count), 2) for name, number in sorted(self.calls.items())}
        found["requests_per_1000"] = round(sum(found["calls_per_1000"][each] for each in found["calls_per_1000"] if each not in NOT_AWS), 1)
        found["busy"] = {role: round(sum(each.busy for each in some) / len(some) / seconds, 3) for role, some in self.processes.items()}
        found["cpu_ms_per_command"] = round(1000 * sum(each.busy for some in self.processes.values() for each in some) / max(1, count), 3)
        found["visible_per_s"] = round(count / (max(self.times["visible"], default=0.0) or 1.0))
        return found


NOT_AWS: Final = frozenset({"deliver", "transaction"})
