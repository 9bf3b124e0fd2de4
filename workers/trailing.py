"""The trail: a second reader of the stream behind the relay, who looks after every commit whether it has arrived.

It reads some twenty seconds behind, so that what it asks about is old enough soon after, and holds no more than it must. Its own
checkpoint stays before the oldest commit that some projector has not passed: what it has in mind is read again after a crash.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from time import monotonic, time
from typing import Any, Final, Protocol

from events.ids import StreamId
from events.parcel import Stub
from readmodel.control import AMQP, CACHE, READ_MODEL
from runtime import logs
from runtime.errors import HeadraceError
from runtime.lifecycle import backoff, pause, unless_stopped
from runtime.metrics import COMMITS, DISCARDS, REPUBLISHED, TRAIL_PENDING
from workers.keeping import Held
from workers.lease import LeaseLost
from workers.packing import sequence, stub_of
from workers.reconciling import GRACE_SECONDS, Evidence, Missing, Pending, Standing, Trail, streams_of
from workers.republishing import Republisher

BEHIND_SECONDS: Final = 20.0
"""How old the newest record in hand is before more is read."""
EMPTY_SECONDS: Final = 20.0
"""After a page without records; what is stored meanwhile is then no older than that, which is young enough."""
LOOK_SECONDS: Final = 5.0
MOST_A_LOOK: Final = 2_500
"""Commits published again in one look."""
MOST_REST: Final = 30.0
PROJECTORS: Final = (READ_MODEL, CACHE)
_LOG: Final = logs.get("reconciler")


class Standings(Protocol):
    """How far the projectors are."""

    async def of(self, streams: Sequence[StreamId]) -> Mapping[StreamId, Standing]: ...


class Relayed(Protocol):
    """How far the relay is."""

    async def of(self, shards: Iterable[str]) -> Mapping[str, str | None]: ...


class Queues(Protocol):
    """How much the projectors have to do."""

    async def depths(self, projectors: Collection[str]) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class Sight:
    """What the trail looks at. `publishing_since`: from when on (seconds, the store's clock) commits must reach the projector `amqp`."""

    standings: Standings
    relayed: Relayed
    queues: Queues
    publishing_since: float | None = None


class Trailing:
    """The trail's sink for all shards of this process, and the loop that looks after what it was given."""

    def __init__(self, sight: Sight, republisher: Republisher, trail: Trail | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._sight, self._republisher, self._clock = sight, republisher, clock
        self._trail = Trail() if trail is None else trail
        self._leases: dict[str, Held] = {}
        self._last: dict[str, int] = {}

    async def take(self, records: Sequence[Mapping[str, Any]], lease: Held) -> str:
        """Remember them, and come back when there is a reason to read on: the newest is no longer young, and there is room.

        Raises LeaseLost when a look saw the lease lapsed meanwhile, though it was renewed after all.
        """
        shard = lease.key
        if self._leases.get(shard) is not lease:
            self._leases[shard] = lease
            self._last[shard] = int(lease.progress.sequence or -1)
            self._trail.begin(shard, lease.progress.sequence)
        new = [each for each in records if int(sequence(each)) > self._last[shard]]  # an iterator that expired brings old ones
        if new or not records:
            await pause(lease.leaving, self._see(new, shard) if new else EMPTY_SECONDS)
        while self._trail.full and not lease.leaving.is_set():
            await pause(lease.leaving, LOOK_SECONDS)
        if self._leases.get(shard) is not lease:  # a look found it lapsed, and has forgotten what was in hand under it
            raise LeaseLost(shard)
        return self._trail.checkpoint(shard)

    def _see(self, new: Sequence[Mapping[str, Any]], shard: str) -> float:
        """In how many seconds the newest is old enough to read on, by the clocks of both sides, but not later than it would be by ours."""
        received, now = self._clock(), time()
        commits = [_commit(each, received, now, self._sight.publishing_since) for each in new]
        self._trail.see(shard, [each for each in commits if each is not None], sequence(new[-1]))
        self._last[shard] = int(sequence(new[-1]))
        TRAIL_PENDING.set(len(self._trail))
        return BEHIND_SECONDS - min(BEHIND_SECONDS, max(0.0, now - _created(new[-1], now)))

    async def run(self, stop: asyncio.Event) -> None:
        """Look every few seconds, until `stop`. While PostgreSQL or AWS is away it waits, and the trail fills up."""
        failures = 0
        while not await pause(stop, LOOK_SECONDS if not failures else max(LOOK_SECONDS, backoff(failures, 0.5, most=MOST_REST))):
            try:
                await unless_stopped(stop, self.look())  # PostgreSQL or SNS may take longer to be away than there is to drain
                failures = 0
            except HeadraceError as wrong:  # whatever it is, it must not end the relay beside it
                failures += 1
                _LOG.warning("not reconciled now", action="look", error=str(wrong), failures=failures, pending=len(self._trail))

    async def look(self) -> None:
        """Ask about what is old enough, and publish again what is missing. Raises Retryable, or what AWS refuses."""
        for shard in [key for key, lease in self._leases.items() if not lease.held()]:
            del self._leases[shard]
            self._trail.drop(shard)
        asked = self._trail.due(self._clock())
        if not asked:
            return
        left = self._trail.weigh(asked, await self._sight.standings.of(streams_of(asked)))
        COMMITS.labels("reconciler", "passed").inc(len(asked) - len(left))
        TRAIL_PENDING.set(len(self._trail))
        if left:
            found = self._trail.judge(self._clock(), left, await self._evidence(left))
            self._give_up([each for each in found if each.hopeless])
            await self._publish([each for each in found if not each.hopeless][:MOST_A_LOOK])

    async def _evidence(self, left: Sequence[Pending]) -> Evidence:
        """The relay first: what it had published by then is in a queue that is looked at afterwards."""
        relayed = await self._sight.relayed.of({each.page.shard for each in left})
        depths = await self._sight.queues.depths({name for each in left for name in each.lacking})
        return Evidence(relayed, depths)

    async def _publish(self, missing: Sequence[Missing]) -> None:
        for shard, some in groupby(sorted(missing, key=_shard), key=_shard):
            lease, these = self._leases.get(shard), list(some)
            if lease is None:
                continue
            await self._republisher.publish(_newest(these), lease.held)
            self._trail.published(self._clock(), these)
            for name in (name for each in these for name in each.projectors):
                REPUBLISHED.labels(name).inc()
            few = [f"{each.pending.stub.stream}@{each.pending.stub.last}" for each in these[:3]]
            overtaken = sum(each.overtaken for each in these)
            _LOG.warning("published again", action="republish", lease=shard, commits=len(these), overtaken=overtaken, such_as=few)

    def _give_up(self, missing: Sequence[Missing]) -> None:
        """The store has them, and the audit will name them."""
        self._trail.give_up(missing)
        for pending, projectors, _ in missing:
            DISCARDS.labels("reconciler", "unhealed").inc()
            place = f"{pending.stub.stream}@{pending.stub.last}"
            _LOG.error("published again and again in vain", action="give_up", commit=place, projectors=projectors, times=pending.times)


def _newest(missing: Iterable[Missing]) -> list[Stub]:
    """One a stream: what lies before it a projector fills in from the store."""
    found: dict[StreamId, Stub] = {}
    for each, *_ in missing:
        if each.stub.stream not in found or found[each.stub.stream].last < each.stub.last:
            found[each.stub.stream] = each.stub
    return list(found.values())


def _shard(missing: Missing) -> str:
    return missing.pending.page.shard


def _commit(record: Mapping[str, Any], received: float, now: float, since: float | None) -> tuple[Stub, float, tuple[str, ...]] | None:
    """What the record is, when to ask about it by the monotonic clock that showed `received`, and who must pass it.

    Clocks that differ make it no older than it is by more than the grace, and no younger.
    """
    stub = stub_of(record["dynamodb"].get("NewImage", {})) if record.get("eventName") == "INSERT" else None
    if stub is None:
        return None
    created = _created(record, now)
    due = received + min(GRACE_SECONDS, max(0.0, GRACE_SECONDS - (now - created)))
    return stub, due, (*PROJECTORS, AMQP) if since is not None and created >= since else PROJECTORS


def _created(record: Mapping[str, Any], otherwise: float) -> float:
    created = record["dynamodb"].get("ApproximateCreationDateTime")
    return created.timestamp() if isinstance(created, datetime) else otherwise
