"""Which commands travel together and when. Pure: commands and answers go in, parcels come out; the time is an argument.

Order: a partition's commands leave in the order in which they came, one parcel at a time; a parcel that is to be sent again is still
the partition's one parcel, so nothing can overtake it. Bounds: bytes and count of everything not yet confirmed.

When to send: at once after a quiet time. Under load, when nothing more came for a moment (`quiet`), when enough gathered to make full
calls, or when the oldest waited as long as so many are worth: the square root of their number (`growth`), which at a steady rate makes
the linger proportional to the rate, up to `longest`. While a call is out, one that would not be full waits for the partitions that
come back with it, again up to `longest`.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Final, Generic, TypeVar

from events.ids import Partition
from events.parcel import LONER_BYTES, MAX_BYTES, OVERHEAD
from runtime.errors import Retryable

PARCELS_A_CALL: Final = 10
BYTES_A_CALL: Final = 1_000_000
LONGEST: Final = 0.25
GROWTH: Final = 2e-4
MAX_WAITING_BYTES: Final = 32 * 1024 * 1024
MAX_WAITING: Final = 100_000
_T = TypeVar("_T")


class BufferFull(Retryable):
    """So much waits for SQS that a further command cannot be taken. Its class says what the caller is told."""

    code, detail, seconds = "buffer_full", "", 1


class Held(BufferFull):
    """Nothing is taken while the stack's number of partitions is being changed."""

    code, detail, seconds = "unavailable", "the stack's number of partitions is being changed", 2


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds."""

    quiet: float = 0.005
    gaps: float = 20.0
    """It is quiet only after so many usual gaps between commands: on a busy machine commands come in fits and starts."""
    longest_gap: float = 0.01
    """What a single gap counts at most; longer ones are idleness, not a habit."""
    longest: float = LONGEST
    growth: float = GROWTH
    """Seconds squared a command: 1,250 a second and more wait for 250 ms, 125 a second for 25."""
    enough: int = 100
    """Commands in one call of ten parcels that are worth a call before it is quiet."""
    few: int = 2
    """After so small a call, nobody is made to wait for company."""


STANDARD: Final = Pace()


def lingering(commands: int, pace: Pace) -> float:
    """Seconds that so many waiting commands are worth. Pure."""
    return min(pace.longest, sqrt(pace.growth * commands))


def pace_of(longest: float) -> Pace:
    """With another longest wait: below it waits are in the same proportion to it, whatever the rate."""
    return Pace(longest=longest, growth=GROWTH * longest / LONGEST)


@dataclass(slots=True, eq=False)
class Parcel(Generic[_T]):
    """What one message will hold; `items` are the caller's own handles, in order."""

    partition: Partition
    bodies: list[bytes] = field(default_factory=list)
    items: list[_T] = field(default_factory=list)
    size: int = OVERHEAD


@dataclass(slots=True, eq=False)
class _Lane(Generic[_T]):
    """One partition: what waits, and whether a parcel of it is under way."""

    waiting: deque[tuple[bytes, _T]] = field(default_factory=deque)
    under_way: bool = False
    since: float = 0.0
    """When its oldest waiting command came."""


class Parcelling(Generic[_T]):
    """The buffer of one gateway."""

    def __init__(self, partitions: int, pace: Pace = Pace()) -> None:
        self._lanes: list[_Lane[_T]] = [_Lane() for _ in range(partitions)]
        self._ready: dict[Partition, _Lane[_T]] = {}
        """Lanes with something to send and nothing under way, in the order in which they became so."""
        self._ready_count = 0
        self._under_way = 0
        self._pace = pace
        self._enough = pace.enough * -(-partitions // PARCELS_A_CALL)
        self._last_arrival = self._last_taken_at = float("-inf")
        self._last_taken = 0
        self._gap = 0.0
        """The usual time between two commands: a mean that follows the last twenty or so."""
        self.count = 0
        """Commands not yet confirmed or given up."""
        self.bytes = 0

    def add(self, partition: Partition, body: bytes, item: _T, now: float) -> None:
        """Queue a command. Raises BufferFull."""
        if self.count >= MAX_WAITING or self.bytes + len(body) > MAX_WAITING_BYTES:
            raise BufferFull
        lane = self._lanes[partition]
        if not lane.waiting:
            lane.since = now
        lane.waiting.append((body, item))
        if not lane.under_way:
            self._ready_count += 1
            self._ready[partition] = lane
        self.count += 1
        self.bytes += len(body)
        self._gap += 0.05 * (min(now - self._last_arrival, self._pace.longest_gap) - self._gap)
        self._last_arrival = now

    def due(self, now: float) -> float | None:
        """Seconds until something should be sent: 0 is now, None is not before something else happens."""
        if not self._ready:
            return None
        if self._ready_count >= self._enough:
            return 0.0
        if self._last_taken <= self._pace.few or now - self._last_taken_at > self._pace.longest:
            return 0.0
        oldest = next(iter(self._ready.values())).since
        if self._under_way and len(self._ready) < PARCELS_A_CALL:
            return max(0.0, self._pace.longest - (now - oldest))
        linger = lingering(self._ready_count, self._pace)
        quiet = max(self._pace.quiet, self._pace.gaps * self._gap)
        return max(0.0, min(self._last_arrival + quiet, oldest + linger) - now)

    def take(self, now: float) -> list[list[Parcel[_T]]]:
        """Everything that may go now, as calls of at most ten parcels and a million bytes."""
        calls: list[list[Parcel[_T]]] = []
        call: list[Parcel[_T]] = []
        size = 0
        self._last_taken, self._last_taken_at = 0, now
        for partition, lane in self._going(now):
            parcel = _fill(partition, lane.waiting)
            lane.under_way = True
            self._under_way += 1
            self._ready_count -= len(parcel.items) + len(lane.waiting)
            del self._ready[partition]
            if call and (len(call) == PARCELS_A_CALL or size + parcel.size > BYTES_A_CALL):
                calls.append(call)
                call, size = [], 0
            call.append(parcel)
            size += parcel.size
            self._last_taken += len(parcel.items)
            lane.since = now
        return [*calls, call] if call else calls

    def _going(self, now: float) -> list[tuple[Partition, _Lane[_T]]]:
        """The partitions that go now: of more than a call's worth, those that would not fill another call stay, unless they are late."""
        going = list(self._ready.items())
        rest = len(going) % PARCELS_A_CALL
        if rest == len(going) or now - going[-rest][1].since > self._pace.longest:
            return going
        return going[: len(going) - rest]

    def confirmed(self, parcel: Parcel[_T]) -> None:
        """SQS has it: the partition's next parcel may go."""
        self._forget(len(parcel.items), sum(map(len, parcel.bodies)))
        lane = self._lanes[parcel.partition]
        lane.under_way = False
        self._under_way -= 1
        if lane.waiting:
            self._ready[parcel.partition] = lane
            self._ready_count += len(lane.waiting)

    def given_up(self, parcel: Parcel[_T]) -> list[_T]:
        """It will not be sent again: everything gathered behind it is given up too, or it would overtake. All of them, in order."""
        lane = self._lanes[parcel.partition]
        behind = list(lane.waiting)
        self._forget(len(parcel.items) + len(behind), sum(map(len, parcel.bodies)) + sum(len(body) for body, _ in behind))
        lane.waiting.clear()
        lane.under_way = False
        self._under_way -= 1
        return [*parcel.items, *(item for _, item in behind)]

    def _forget(self, count: int, size: int) -> None:
        self.count -= count
        self.bytes -= size


def _fill(partition: Partition, waiting: deque[tuple[bytes, _T]]) -> Parcel[_T]:
    """As many from the front as fit; one over 64 KiB goes alone."""
    parcel: Parcel[_T] = Parcel(partition)
    while waiting and _fits(parcel, waiting[0][0]):
        body, item = waiting.popleft()
        parcel.bodies.append(body)
        parcel.items.append(item)
        parcel.size += len(body) + 1
    return parcel


def _fits(parcel: Parcel[_T], body: bytes) -> bool:
    held: Sequence[bytes] = parcel.bodies
    if not held:
        return True
    if len(body) > LONER_BYTES or len(held[0]) > LONER_BYTES:
        return False
    return parcel.size + len(body) + 1 <= MAX_BYTES
