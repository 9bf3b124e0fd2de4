"""What the trail has seen on the stream and not every projector has passed: what is under way, and what was lost on its way. Pure.

A commit is missing for a projector that has not passed it though it is past it. That a projector is past a commit is known from one of
two things, seen twice, some seconds apart: it has passed a commit that came later in the same message group of the same shard (a group is
handled in order) and little waits in its queue, or the relay had published the commit and the queue was empty. A projector that lags
or stands still gives neither, so nothing is published again on its account; its commits stay here, and when too many do, the trail reads
no further.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from events.ids import StreamId, partition_of
from events.parcel import Stub
from workers.packing import GROUPS

GRACE_SECONDS: Final = 30.0
"""How old a commit must be before anybody asks about it: that much time has whoever is not lagging."""
CONFIRM_SECONDS: Final = 5.0
"""Between the two looks that must agree. Positions of many streams are not read at one moment, and SQS counts messages about."""
REST_SECONDS: Final = 60.0
"""After which the same commit may be published again; twice as long every further time, so that a slow projector is not flooded."""
MOST_TIMES: Final = 5
"""After which it is given up: it heals by being published, or not at all."""
BACKLOG: Final = 80
"""Messages in a queue above which its projector lags, and is left to catch up: what is given back or expires may come late meanwhile."""
MOST_PENDING: Final = 50_000
MOST_WAITING: Final = 5_000
"""Of those asked about before, in one look."""
LEANS_ON: Final = {"cache": "rds"}
"""A projector that waits for another's work: it misses nothing that the other has not passed."""
Standing = Mapping[str, int]
"""Projector -> the version of a stream that it has passed, or will not pass until somebody redrives it."""
_NOTHING: Final[Standing] = {}


@dataclass(slots=True)
class Page:
    """Where some commits stood in their shard: `before` is the checkpoint they are read again from, `last` the newest record among them."""

    shard: str
    before: str
    last: str


@dataclass(slots=True, eq=False)
class Pending:
    """A commit that some projector may not have passed."""

    stub: Stub
    page: Page
    line: tuple[str, int]
    """Its shard and message group: what is handled in order."""
    place: int
    """In that line."""
    due: float
    lacking: tuple[str, ...]
    """Projectors that are not known to have passed it."""
    suspected: dict[str, float] = field(default_factory=dict)
    """Projector -> since when it is known to be past the commit."""
    times: int = 0
    rests_until: float = 0.0
    settled: bool = False


class Missing(NamedTuple):
    """To be published again, and for whom."""

    pending: Pending
    projectors: tuple[str, ...]
    overtaken: bool
    """By a later one of its message group; else the queue was empty."""

    @property
    def hopeless(self) -> bool:
        """It was published often enough."""
        return self.pending.times >= MOST_TIMES


@dataclass(slots=True)
class Evidence:
    """What was seen beside positions, in this order: the relay's checkpoints, then the queues. What is not there is unknown.

    `relayed`: shard -> the newest sequence number that the relay has published; None: all of it. `depths`: projector -> messages that
    wait for it or are in its hands.
    """

    relayed: Mapping[str, str | None] = field(default_factory=dict)
    depths: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Shard:
    last: str
    fresh: deque[Pending] = field(default_factory=deque)
    unsettled: OrderedDict[Pending, None] = field(default_factory=OrderedDict)


class Trail:
    """What one process has in hand, of all shards it trails. Times are its own monotonic clock's."""

    def __init__(self, most: int = MOST_PENDING) -> None:
        self._most, self._count = most, 0
        self._shards: dict[str, _Shard] = {}
        self._waiting: deque[Pending] = deque()
        self._places: dict[tuple[str, int], int] = {}
        self._reached: dict[tuple[str, int], dict[str, int]] = {}
        """Line -> projector -> the latest place it is known to have passed."""

    def __len__(self) -> int:
        """Commits that somebody has not passed, as far as we know."""
        return self._count

    @property
    def full(self) -> bool:
        """Read no further."""
        return self._count >= self._most

    def begin(self, shard: str, checkpoint: str) -> None:
        """Its records from behind `checkpoint` on come next."""
        self.drop(shard)
        self._shards[shard] = _Shard(checkpoint)

    def drop(self, shard: str) -> None:
        """It is somebody else's now, who begins at its checkpoint."""
        gone = self._shards.pop(shard, None)
        for each in gone.unsettled if gone else ():
            each.settled = True
        self._count -= len(gone.unsettled) if gone else 0
        self._waiting = deque(each for each in self._waiting if not each.settled)
        self._places = {line: place for line, place in self._places.items() if line[0] != shard}
        self._reached = {line: places for line, places in self._reached.items() if line[0] != shard}

    def see(self, shard: str, commits: Iterable[tuple[Stub, float, tuple[str, ...]]], last: str) -> None:
        """The commits of one page of records in their order, each with when it is due and who must pass it; `last` is the page's newest."""
        of_shard = self._shards[shard]
        page = Page(shard, of_shard.last, last)
        for stub, due, projectors in commits:
            line = (shard, partition_of(stub.stream, GROUPS))
            place = self._places[line] = self._places.get(line, 0) + 1
            each = Pending(stub, page, line, place, due, projectors)
            of_shard.fresh.append(each)
            of_shard.unsettled[each] = None
            self._count += 1
        of_shard.last = last

    def checkpoint(self, shard: str) -> str:
        """Everything up to and with this record is settled. Never goes back while a shard is in hand."""
        of_shard = self._shards[shard]
        return next(iter(of_shard.unsettled)).page.before if of_shard.unsettled else of_shard.last

    def due(self, now: float) -> list[Pending]:
        """Whom to ask about now: those that have just become old enough, and some of those asked about before, in turn."""
        found: list[Pending] = []
        for shard in self._shards.values():
            while shard.fresh and shard.fresh[0].due <= now:
                found.append(shard.fresh.popleft())
        if len(self._waiting) > 2 * self._count:  # most of them were passed when they were last asked about
            self._waiting = deque(each for each in self._waiting if not each.settled)
        most = len(found) + MOST_WAITING
        while self._waiting and len(found) < most:
            each = self._waiting.popleft()
            if not each.settled:
                found.append(each)
        self._waiting.extend(found)
        return found

    def weigh(self, asked: Iterable[Pending], standings: Mapping[StreamId, Standing]) -> list[Pending]:
        """Take in how far the projectors are; what is left is what somebody has not passed."""
        left: list[Pending] = []
        for each in asked:
            standing = standings.get(each.stub.stream, _NOTHING)
            lacking = tuple(name for name in each.lacking if standing.get(name, 0) < each.stub.last)
            if lacking != each.lacking:
                reached = self._reached.setdefault(each.line, {})
                for name in set(each.lacking).difference(lacking):
                    reached[name] = max(each.place, reached.get(name, 0))
                each.lacking = lacking
            if not lacking:
                self._settle(each)
            elif not each.settled:
                left.append(each)
        return left

    def judge(self, now: float, left: Iterable[Pending], evidence: Evidence) -> list[Missing]:
        """Which of these are missing, as far as is known by now; none that rests from being published."""
        found: list[Missing] = []
        for each in (one for one in left if not one.settled):
            projectors = []
            for name in each.lacking:
                if not self._past(each, name, evidence):
                    each.suspected.pop(name, None)
                elif now - each.suspected.setdefault(name, now) >= CONFIRM_SECONDS and now >= each.rests_until:
                    projectors.append(name)
            if projectors:
                found.append(Missing(each, tuple(projectors), any(self._overtaken(each, name) for name in projectors)))
        return found

    def published(self, now: float, missing: Iterable[Missing]) -> None:
        """They were sent again: they rest."""
        for each, *_ in missing:
            each.times += 1
            each.rests_until = now + REST_SECONDS * 2 ** (each.times - 1)
            each.suspected.clear()

    def give_up(self, missing: Iterable[Missing]) -> None:
        """Nobody asks about them any more."""
        for each, *_ in missing:
            self._settle(each)

    def _past(self, each: Pending, projector: str, evidence: Evidence) -> bool:
        depth = evidence.depths.get(projector, BACKLOG + 1)
        if LEANS_ON.get(projector) in each.lacking or depth > BACKLOG:
            return False
        return self._overtaken(each, projector) or (depth == 0 and _relayed(each.page, evidence.relayed))

    def _overtaken(self, each: Pending, projector: str) -> bool:
        return self._reached.get(each.line, _NOTHING).get(projector, 0) > each.place

    def _settle(self, each: Pending) -> None:
        if not each.settled:
            each.settled = True
            del self._shards[each.page.shard].unsettled[each]
            self._count -= 1


def _relayed(page: Page, relayed: Mapping[str, str | None]) -> bool:
    """Judged for the whole page: the relay reads ahead of us."""
    if page.shard not in relayed:
        return False
    newest = relayed[page.shard]
    return newest is None or (newest != "" and int(newest) >= int(page.last))


def streams_of(pending: Iterable[Pending]) -> list[StreamId]:
    """Each once."""
    return list(dict.fromkeys(each.stub.stream for each in pending))
