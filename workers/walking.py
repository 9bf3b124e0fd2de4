"""The full walk: every stream of the event store against the projectors' positions, and what they miss published again.

For what no reader of the stream can find any more. A stream's newest commit stands for all before it: a projector that gets it fills
in what it lacks from the store. Nothing is published on account of a projector that merely lags: its queue must have been seen empty
twice, some seconds apart, since the stream was found behind; then the stream is looked at once more.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from events.envelope import Commit
from events.ids import StreamId
from events.parcel import Stub
from events.store import EventStore
from readmodel.control import AMQP
from runtime import logs
from runtime.metrics import REPUBLISHED
from workers.reconciling import CONFIRM_SECONDS, LEANS_ON, Standing
from workers.republishing import Republisher
from workers.trailing import Queues, Standings

SEGMENTS: Final = 4
BATCH: Final = 5_000
"""Streams that are behind, judged together."""
HEADS_A_READ: Final = 500
NAMED: Final = 20
_LOG: Final = logs.get("reconciler")


class Keys(Protocol):
    """The event store's commits without their events."""

    def scan(self, segment: int, segments: int) -> AsyncIterator[list[Stub]]:
        """One segment, page by page; of a stream that is on several pages each has some commits."""
        ...


@dataclass(slots=True)
class Walked:
    """What a walk has come to so far. Streams, not commits."""

    streams: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    """By projector."""
    republished: int = 0
    healed: int = 0
    behind: Counter[str] = field(default_factory=Counter)
    """By projector: not judged, since it had something to do all the time."""
    unhealed: list[StreamId] = field(default_factory=list)
    """The first of those that did not arrive in time."""

    @property
    def ok(self) -> bool:
        """Everything was passed, or is by now."""
        return not self.behind and self.healed == self.republished


@dataclass(frozen=True, slots=True)
class Sight:
    """What a walk looks at. `publishing_since`: as the trail's; 0: older streams, too."""

    keys: Keys
    store: EventStore
    standings: Standings
    queues: Queues
    publishing_since: float | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for the projectors to have nothing to do, for what was published again to be passed, and between two looks."""

    drain: float = 60.0
    settle: float = 60.0
    look: float = 1.0


class Walk:
    """One walk. `done` grows while it goes on."""

    def __init__(self, sight: Sight, republisher: Republisher, projectors: Sequence[str], patience: Patience) -> None:
        self._sight, self._republisher = sight, republisher
        self._projectors, self._patience = tuple(projectors), patience
        self.done = Walked()

    async def run(self, segments: int = SEGMENTS) -> Walked:
        """To the end, in bounded memory. Raises Retryable: walk again."""
        pages: asyncio.Queue[dict[StreamId, Stub]] = asyncio.Queue(segments)
        try:
            async with asyncio.TaskGroup() as tasks:
                judging = tasks.create_task(self._judge(pages))
                async with asyncio.TaskGroup() as scans:
                    for segment in range(segments):
                        scans.create_task(self._scan(segment, segments, pages))
                await pages.put({})
                await judging
        except ExceptionGroup as several:
            raise _first(several) from several
        return self.done

    async def _scan(self, segment: int, segments: int, pages: asyncio.Queue[dict[StreamId, Stub]]) -> None:
        async for page in self._sight.keys.scan(segment, segments):
            heads = newest(page)
            behind = await self._lacking(heads)
            if behind:
                await pages.put({stream: heads[stream] for stream in behind})
            self.done.streams += sum(each.first == 1 for each in page)

    async def _judge(self, pages: asyncio.Queue[dict[StreamId, Stub]]) -> None:
        """Until the empty page."""
        held: dict[StreamId, Stub] = {}
        while page := await pages.get():
            held = newest((*held.values(), *page.values()))
            if len(held) >= BATCH:
                await self._settle(held)
                held = {}
        await self._settle(held)

    async def _settle(self, held: Mapping[StreamId, Stub]) -> None:
        """All of these are judged, what is missing is sent and passed, when this returns; or the time for that is up."""
        sent: dict[StreamId, Stub] = {}
        empty: dict[str, float] = {}
        until = _now() + self._patience.drain
        spared = await self._spared(held)
        left = await self._lacking(held, spared)
        while left:
            proven = await self._proven({name for names in left.values() for name in names}, empty)
            left = await self._lacking({stream: held[stream] for stream in left}, spared)  # after the queues
            missing = {stream: names for stream, names in left.items() if not proven.isdisjoint(names)}
            await self._publish({stream: held[stream] for stream in missing}, missing, proven)
            sent |= {stream: held[stream] for stream in missing}
            left = {stream: names for stream, names in left.items() if stream not in missing}
            if left and _now() >= until:
                self.done.behind.update(name for names in left.values() for name in names)
                break
            await asyncio.sleep(self._patience.look if left else 0)
        await self._heal(sent, spared)

    async def _proven(self, names: set[str], empty: dict[str, float]) -> set[str]:
        """Projectors seen with nothing to do, twice; `empty` says since when. What came in between was published later."""
        depths = await self._sight.queues.depths(names)
        now = _now()
        return {name for name, depth in depths.items() if depth == 0 and now - empty.setdefault(name, now) >= CONFIRM_SECONDS}

    async def _publish(self, stubs: Mapping[StreamId, Stub], missing: Mapping[StreamId, Sequence[str]], proven: set[str]) -> None:
        if not stubs:
            return
        await self._republisher.publish(list(stubs.values()))
        found = Counter(name for names in missing.values() for name in names if name in proven)
        self.done.missing.update(found)
        self.done.republished += len(stubs)
        for name, count in found.items():
            REPUBLISHED.labels(name).inc(count)
        _LOG.warning("published again", action="republish", streams=len(stubs), such_as=list(stubs)[:3])

    async def _heal(self, sent: Mapping[StreamId, Stub], spared: Collection[StreamId]) -> None:
        until, left = _now() + self._patience.settle, sent
        while left:
            left = {stream: sent[stream] for stream in await self._lacking(left, spared)}
            if not left or _now() >= until:
                break
            await asyncio.sleep(self._patience.look)
        self.done.healed += len(sent) - len(left)
        self.done.unhealed += list(left)[: NAMED - len(self.done.unhealed)]

    async def _lacking(self, heads: Mapping[StreamId, Stub], spared: Collection[StreamId] = ()) -> dict[StreamId, list[str]]:
        """Which projectors are not as far as these commits, where any is not; `amqp` may not be, on a stream it is spared."""
        standings = await self._sight.standings.of(list(heads))
        found = {stream: lacking(head, standings[stream], self._projectors) for stream, head in heads.items()}
        for stream in spared:
            found[stream] = [name for name in found.get(stream, ()) if name != AMQP]
        return {stream: names for stream, names in found.items() if names}

    async def _spared(self, held: Mapping[StreamId, Stub]) -> set[StreamId]:
        """Streams that the projector `amqp` owes nothing: it knows none of them, and they are older than its queue."""
        since = self._sight.publishing_since
        if AMQP not in self._projectors or not since:
            return set()
        standings = await self._sight.standings.of(list(held))
        unknown = [(stream, head.first) for stream, head in held.items() if not standings[stream].get(AMQP, 0)]
        found: set[StreamId] = set()
        for start in range(0, len(unknown), HEADS_A_READ):
            heads = (await self._sight.store.read(unknown[start : start + HEADS_A_READ])).commits
            found.update(commit.stream for commit in heads.values() if _older(commit, since))
        return found


def _older(commit: Commit, since: float) -> bool:
    try:
        return commit.recorded()[-1].at < since * 1_000_000
    except (msgspec.MsgspecError, ValueError, IndexError):
        return False  # let the projector say what is wrong with it


def newest(stubs: Iterable[Stub]) -> dict[StreamId, Stub]:
    """The newest commit of each stream among these. Pure."""
    found: dict[StreamId, Stub] = {}
    for each in stubs:
        if each.stream not in found or found[each.stream].last < each.last:
            found[each.stream] = each
    return found


def lacking(head: Stub, standing: Standing, projectors: Iterable[str]) -> list[str]:
    """Those of the projectors that are not as far as `head` though what they lean on is. Pure."""
    return [
        name
        for name in projectors
        if standing.get(name, 0) < head.last and (name not in LEANS_ON or standing.get(LEANS_ON[name], 0) >= head.last)
    ]


def _now() -> float:
    return asyncio.get_running_loop().time()


def _first(several: BaseExceptionGroup[Exception]) -> Exception:
    inner = several.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
